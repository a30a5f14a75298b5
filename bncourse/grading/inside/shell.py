"""Run cells as a notebook runs them, and keep a bounded record of what they show.

It answers the threat of a flood: a gigabyte of text, a million displays or a giant traceback may
cost the submission its own time, never the grader's memory.
"""

import contextlib
import io
import warnings

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

CUT = "\n[the output is cut here]\n"

# What one output costs at least, so that empty ones are bounded too.
_LEAST_COST = 64


class Recorder:
    """The outputs of one cell, in the notebook format, up to a budget.

    Args:
        text: the budget for text in characters.
        image: the budget for images in characters of base64.
    """

    def __init__(self, text, image):
        self.budget = {"text": text, "image": image}
        self.text_left, self.image_left = text, image
        self.outputs = []

    def start(self):
        """Forget the last cell and return to the full budget."""
        self.text_left, self.image_left = self.budget["text"], self.budget["image"]
        self.outputs = []

    @property
    def spent(self):
        """Whether nothing more is recorded."""
        return self.text_left <= 0

    def stream(self, name, text):
        """Record printed text; consecutive pieces of one stream are one output."""
        if self.spent:
            return
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") == name:
            last["text"] += self._afford(text, 0)
        else:
            self.outputs.append(
                {"output_type": "stream", "name": name, "text": self._afford(text, _LEAST_COST)}
            )

    def rich(self, kind, data):
        """Record a display or a result, given as ``{mime type: content}``."""
        if self.spent:
            return
        kept = {"text/plain": self._afford(str(data.get("text/plain", "")), _LEAST_COST)}
        for mime in ("image/png", "image/jpeg"):
            image = data.get(mime)
            if isinstance(image, str) and len(image) <= self.image_left:
                self.image_left -= len(image)
                kept[mime] = image
        self.outputs.append({"output_type": kind, "data": kept, "metadata": {}})

    def error(self, name, value, lines):
        """Record an exception."""
        self.outputs.append(
            {
                "output_type": "error",
                "ename": name[:200],
                "evalue": value[:2000],
                "traceback": self._afford("\n".join(lines), _LEAST_COST).split("\n"),
            }
        )

    def _afford(self, text, cost):
        if self.spent:
            return ""
        self.text_left -= len(text) + cost
        return text if self.text_left > 0 else text[: self.text_left - 1] + CUT


class _Stream(io.TextIOBase):
    """A standard stream that goes to a Recorder."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, recorder, name):
        self._recorder, self._name = recorder, name

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._recorder.stream(self._name, text)
        return len(text)


class _Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, **options):
        self.shell.recorder.rich("display_data", data)

    def clear_output(self, wait=False):
        self.shell.recorder.outputs.clear()


class _Formatter(DisplayFormatter):
    def format(self, obj, include=None, exclude=None):
        # A million displays must not cost a million formattings.
        if Shell.instance().recorder.spent:
            return {}, {}
        return super().format(obj, include, exclude)


class _Hook(DisplayHook):
    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.recorder.rich("execute_result", format_dict)

    def finish_displayhook(self):
        pass


class Shell(InteractiveShell):
    """An IPython shell without a terminal, a history or anybody at the keyboard."""

    def init_history(self):
        super().init_history()
        self.history_manager.enabled = False

    def init_display_formatter(self):
        self.display_formatter = _Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def init_io(self):
        # The streams are set by ``attach``, in the process of the submission.
        pass

    def attach(self, recorder):
        """Send everything that cells show to ``recorder``; return the two standard streams."""
        self.recorder = recorder
        return _Stream(recorder, "stdout"), _Stream(recorder, "stderr")

    def _tee(self, channel):
        # IPython would keep all that is printed once more, a gigabyte of it too.
        return contextlib.nullcontext()

    def enable_gui(self, gui=None):
        """Let ``%matplotlib`` pass by: there is no window, and plots are inline already."""

    def ask_exit(self):
        raise SystemExit

    def _showtraceback(self, etype, evalue, stb):
        self.recorder.error(etype.__name__, _safe_str(evalue), stb)


def make_shell():
    """Return the Shell; done once, before the fork, since it takes a while."""
    Shell.display_pub_class = _Publisher
    Shell.displayhook_class = _Hook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shell = Shell.instance(colors="NoColor")
    shell.recorder = Recorder(0, 0)
    return shell


def _safe_str(value):
    try:
        return str(value)
    except Exception:
        return "(an exception that cannot be printed)"
