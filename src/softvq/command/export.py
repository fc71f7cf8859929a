"""Hands a trained model on: `softvq export RUN --out DIR`."""

from collections.abc import Sequence

from softvq.console import screen
from softvq.console.arguments import Parser, path
from softvq.durable_files import UnwritableError
from softvq.run.recorded import finished_metrics


def main(arguments: Sequence[str] | None = None) -> int:
    """Exports a run; the exit status."""
    parser = Parser("softvq export", "Writes a run's model as safetensors and ONNX, with a model card.")
    parser.add_argument("run", metavar="RUN", type=path, help="folder of a finished run")
    parser.add_argument("--out", metavar="DIR", type=path, required=True, help="where the files go")
    options = parser.parse_args(arguments)
    try:
        finished_metrics(options.run)  # before torch is loaded, which takes seconds
        from softvq.library.export import export_run

        files = export_run(options.run, options.out)
    except ValueError as error:
        screen.print_error(str(error))
        return 1
    except OSError as error:
        reason = error.reason if isinstance(error, UnwritableError) else error.strerror or error
        screen.print_error(f"{error.filename or options.out} cannot be written: {reason}; choose another --out DIR")
        return 1
    screen.print(f"exported: {', '.join(file.name for file in files)} in {options.out}")
    return 0
