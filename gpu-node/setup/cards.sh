# Which cards there are, and whether containers can be given them.

case $LARES_NODE_CARDS in
  nvidia)
    have nvidia-smi && nvidia-smi >/dev/null 2>&1 \
      || fail node.driver "there is an NVIDIA card, and its driver does not answer" "install the driver (Debian: apt install nvidia-driver, non-free), reboot, and see that nvidia-smi lists the card"
    have nvidia-container-runtime || have nvidia-container-cli \
      || fail node.toolkit "containers cannot be given the NVIDIA card" "install NVIDIA's container toolkit from NVIDIA's package repository, run: nvidia-ctk runtime configure --runtime=docker, restart docker"
    ;;
  amd)
    [ -r /dev/kfd ] || fail node.driver "there is an AMD card, and /dev/kfd cannot be read" "use a kernel with amdgpu and its firmware (Debian: apt install firmware-amd-graphics), reboot"
    ;;
  simulated)
    warn "no card is used: models compute on the processor, and the card that is scheduled is a played one ($LARES_NODE_SIMULATED_CARDS)"
    ;;
  auto) ;;
  *) fail node.setting "LARES_NODE_CARDS=$LARES_NODE_CARDS is none of auto, nvidia, amd and simulated" "correct it" ;;
esac
