"""Run the command line with `python -m napari_unet_finetune`."""

from .cli import main

if __name__ == "__main__":
    main()
