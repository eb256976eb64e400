"""Run the command line with `python -m napari_unet_finetune`."""

import sys

if __name__ == "__main__":
    try:
        from .cli import main
    except KeyboardInterrupt:  # before there was anything to stop
        sys.exit(130)
    main()
