"""The dialog: a live preview of before and after on the left, and the settings on the right."""

from __future__ import annotations

from typing import Any

from .before_after import BeforeAfter
from .preview import Preview
from .qt import QtCore, QtGui, QtWidgets
from .sliders import NumberSlider
from .source import Sources, list_layers
from .strip import VersionStrip
from .thin import choices, diagnostics
from .thin.engine import offer
from .thin.job import Backend
from .thin.protocol import MAX_TRIM, MAX_VARIANTS, TRIMS
from .values import OUTPUTS, Values

_Qt = QtCore.Qt
_VIEW = (560, 400)
"""Width and height of the preview in pixels on the smallest screen."""
_SMALL_SCREEN = (1280, 720)
_MOST_GROWTH = 1.6
"""How much larger the preview is on a large screen, at most."""
_SETTINGS_WIDTH = 380
"""Minimum width of the settings in pixels."""
_EXPANDING = QtWidgets.QSizePolicy.Policy.Expanding
_EDGE_HELP = (
    "Undo removes the new layer but does not show a hidden original again. Make it visible yourself.\n"
    "If the original stays visible, the new layer's soft edge overlaps it and is up to a quarter more opaque."
)


class HarmonizeDialog(QtWidgets.QDialog):
    """The dialog for one or several layers. Call `read_values` when it is accepted, and `stop` when it is closed.

    values: the initial values.   is_update: whether a newer engine is available.
    engine_wanted: emitted when the user wants to manage the engine.
    """

    engine_wanted = QtCore.pyqtSignal()

    def __init__(
        self, parent: Any, sources: Sources, values: Values, backend: Backend, *, is_update: bool = False
    ) -> None:
        super().__init__(parent)
        self.sources = sources
        self._host = backend.host
        self.setWindowTitle(choices.TITLE)
        self.setWindowModality(_Qt.WindowModality.WindowModal)
        self.setWindowFlag(_Qt.WindowType.WindowContextHelpButtonHint, False)
        self._strength = NumberSlider("Strength", 0, 1, values.strength, decimals=2, step=0.05, reset=None)
        self._compare = _create_choice(choices.COMPARE_WITH, tuple(choices.COMPARE_WITH), values.compare)
        self._layer = _create_layer_choice(sources, values)
        self._layer.setToolTip(choices.COMPARE_HELP)
        self._compare.setAccessibleName("Compare with")
        self._layer.setAccessibleName("Layer to compare with")
        self._clean = QtWidgets.QCheckBox(choices.CLEAN_EDGES)
        self._clean.setChecked(values.clean_edges)
        self._output = _create_choice(choices.OUTPUT, OUTPUTS, values.output)
        self._output.setAccessibleName("Result")
        self._trims = {name: _create_trim(name, getattr(values, name)) for name in TRIMS}
        size = _choose_view_size(self)
        self._view = BeforeAfter(size)
        self._variant, self._notice = values.variant, ""
        self._strip, self._strip_label = VersionStrip(), QtWidgets.QLabel(f"{choices.VERSIONS}:")
        self._strip.chosen.connect(self._choose_version)
        for number in range(1, MAX_VARIANTS + 1):  # entries take the digits that are typed into them
            shortcut = QtGui.QShortcut if hasattr(QtGui, "QShortcut") else QtWidgets.QShortcut  # Qt 6 has moved it
            keys = shortcut(QtGui.QKeySequence(str(number)), self)
            keys.activated.connect(lambda number=number: self._choose_version(number))
        self._engine = QtWidgets.QPushButton(offer.MANAGE_NEWER if is_update else offer.MANAGE)
        self._preview = Preview(sources.topmost, backend, self._show_preview, size)
        self._lay_out()
        self._strength.changed.connect(self._refresh)
        self._compare.currentIndexChanged.connect(self._refresh)
        self._layer.currentIndexChanged.connect(self._refresh)
        self._clean.toggled.connect(self._refresh)
        for trim in self._trims.values():
            trim.changed.connect(self._refresh)
        self._strength.setFocus()
        self._refresh()

    def read_values(self) -> Values:
        """Return the values that the user has chosen."""
        compare = self._compare.currentData()
        chosen = compare == choices.CHOSEN_LAYER
        return Values(
            strength=self._strength.read_value(),
            compare=compare,
            layer=self._layer.currentData() or "" if chosen else "",
            layer_name=self._layer.currentText().strip() if chosen else "",
            clean_edges=self._clean.isChecked(),
            output=self._output.currentData(),
            variant=self._variant,
            **{name: round(trim.read_value()) for name, trim in self._trims.items()},
        )

    def stop(self) -> None:
        """Stop the preview."""
        self._preview.stop()

    def _lay_out(self) -> None:
        self._strip_label.setBuddy(self._strip)
        self._strip_label.setToolTip(choices.VERSIONS_HELP)
        policy = self._strip_label.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._strip_label.setSizePolicy(policy)
        pictures = QtWidgets.QVBoxLayout()
        pictures.setSpacing(6)
        pictures.addWidget(self._view, 1)
        pictures.addWidget(self._strip_label)
        pictures.addWidget(self._strip)
        columns = QtWidgets.QHBoxLayout()
        columns.setSpacing(18)
        columns.addLayout(pictures, 3)
        columns.addLayout(self._lay_out_settings(), 1)
        column = QtWidgets.QVBoxLayout(self)
        column.setSpacing(12)
        column.addLayout(columns, 1)
        column.addWidget(self._create_buttons())

    def _describe_layers(self) -> str:
        count = len(self.sources.layers)
        return choices.BLURB if count == 1 else choices.format_topmost(self.sources.topmost.node.name(), count)

    def _lay_out_settings(self) -> Any:
        blurb = QtWidgets.QLabel("\n\n".join((self._describe_layers(), *self.sources.left_out)))
        blurb.setWordWrap(True)
        blurb.setMinimumWidth(_SETTINGS_WIDTH)
        form = QtWidgets.QFormLayout()
        form.setFieldGrowthPolicy(QtWidgets.QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        trims = (
            (f"{choices.TRIMS[name]}:", trim, f"{choices.TRIMS_HELP[name]}\n{choices.RESET_HELP}")
            for name, trim in self._trims.items()
        )
        for label, widget, text in (
            ("&Strength:", self._strength, choices.STRENGTH_HELP),
            *trims,
            ("&Compare with:", self._compare, choices.COMPARE_HELP),
            ("", self._layer, choices.COMPARE_HELP),
            ("", self._clean, choices.CLEAN_EDGES_HELP),
            ("&Result:", self._output, f"{choices.OUTPUT_HELP}\n{_EDGE_HELP}"),
        ):
            widget.setToolTip(text)
            form.addRow(label, widget)
        settings = QtWidgets.QVBoxLayout()
        settings.setSpacing(12)
        settings.addWidget(blurb)
        settings.addLayout(form)
        settings.addStretch(1)
        return settings

    def _create_buttons(self) -> Any:
        standard = QtWidgets.QDialogButtonBox.StandardButton
        buttons = QtWidgets.QDialogButtonBox(standard.Ok | standard.Cancel)
        buttons.button(standard.Ok).setText(f"&{choices.TITLE}")
        cancel = buttons.button(standard.Cancel)
        cancel.setText(cancel.text().replace("&", ""))  # its letter may be one of ours, and Escape does the same
        buttons.addButton(_CopyDiagnostics(self._host), QtWidgets.QDialogButtonBox.ButtonRole.ResetRole)
        self._engine.setToolTip(offer.MANAGE_HELP)
        self._engine.setAutoDefault(False)
        self._engine.clicked.connect(lambda: self.engine_wanted.emit())
        buttons.addButton(self._engine, QtWidgets.QDialogButtonBox.ButtonRole.ResetRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        return buttons

    def _refresh(self) -> None:
        chosen = self._compare.currentData() == choices.CHOSEN_LAYER
        self._layer.setVisible(chosen)
        self._preview.show(self.read_values())

    def _choose_version(self, number: int) -> None:
        if number <= len(self._preview.probabilities):
            self._variant, self._notice = number, ""
            self._refresh()

    def _show_preview(self) -> None:
        preview = self._preview
        count = len(preview.probabilities)
        if count and self._variant > count:
            self._notice = choices.format_missing_version(self._variant, count)
            self._variant = 1
        pictures = [preview.get_version(number + 1) for number in range(count)]
        self._strip_label.setVisible(count != 1)
        self._strip.show_versions(preview.probabilities, pictures, self._variant)
        self._view.show_pictures(preview.before, preview.after, "\n".join(filter(None, (self._notice, preview.text))))


class _CopyDiagnostics(QtWidgets.QPushButton):
    """A button that copies the diagnostics to the clipboard without blocking the dialog."""

    def __init__(self, host: tuple[str, str]) -> None:
        super().__init__(diagnostics.COPY)
        self.setToolTip(diagnostics.COPY_HELP)
        self.setAutoDefault(False)
        self._host = host
        self._diagnosis: Any = None
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(50)
        self._timer.timeout.connect(self._poll)
        self.clicked.connect(self._ask)

    def _ask(self) -> None:
        self.setEnabled(False)
        self.setText(diagnostics.COPYING)
        self._diagnosis = diagnostics.Diagnosis(self._host)
        self._timer.start()

    def _poll(self) -> None:
        if self._diagnosis.is_done:
            self._timer.stop()
            QtWidgets.QApplication.clipboard().setText(self._diagnosis.text)
            self.setText(diagnostics.COPIED)
            self.setEnabled(True)


def _choose_view_size(window: Any) -> tuple[int, int]:
    """Return the width and height of the preview that suit a window's screen."""
    room = window.screen().availableSize() if hasattr(window, "screen") else QtCore.QSize(*_SMALL_SCREEN)
    growth = min(room.width() / _SMALL_SCREEN[0], room.height() / _SMALL_SCREEN[1])
    growth = min(max(growth, 1.0), _MOST_GROWTH)
    return round(growth * _VIEW[0]), round(growth * _VIEW[1])


def _create_trim(name: str, value: int) -> NumberSlider:
    label = choices.TRIMS[name].replace("&", "")
    return NumberSlider(label, -MAX_TRIM, MAX_TRIM, value, decimals=0, step=1, reset=0)


def _create_choice(words: Any, names: tuple[str, ...], chosen: str) -> Any:
    box = QtWidgets.QComboBox()
    for name in names:
        box.addItem(words[name], name)
    box.setCurrentIndex(names.index(chosen))
    box.setSizePolicy(_EXPANDING, QtWidgets.QSizePolicy.Policy.Fixed)
    return box


def _create_layer_choice(sources: Sources, values: Values) -> Any:
    """Return a combo box of all layers except the harmonized ones and their contents, in the order of Krita's list."""
    box = QtWidgets.QComboBox()
    harmonized = [source.node.uniqueId() for source in sources.layers]

    def add(group: Any, depth: int) -> None:
        for node in reversed(list_layers(group)):
            if node.uniqueId() not in harmonized:
                box.addItem("    " * depth + node.name(), node.uniqueId().toString())
                add(node, depth + 1)

    add(sources.topmost.document.rootNode(), 0)
    box.setCurrentIndex(max(0, box.findData(values.layer)))
    return box
