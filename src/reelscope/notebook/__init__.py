"""Records as pictures and tables, for notebooks.

Needs the extra `notebook` (matplotlib). Figures are returned, not shown; a stage without a
value leaves its place empty, or the table says why it has none and what would help.

timeline.py  what happens when           sound.py     what is heard, by frequency and loudness
frames.py    what is seen in each frame, and what became of it
sheets.py    pictures with captions      tables.py    stages, words, answers
creators.py  how creators compare        style.py     marks
"""

from __future__ import annotations

from reelscope.export.colours import INK, KIND_COLOURS, PALE
from reelscope.notebook.creators import (
    creator_sheet,
    creators_table,
    plot_creators,
    plot_heard,
    plot_hooks,
    values_of,
)
from reelscope.notebook.frames import FrameFate, boxed_sheet, frame_reasons, looked_at_sheet
from reelscope.notebook.sheets import (
    chosen_pictures,
    contact_sheet,
    description_text,
    draw_picture,
    picture_sheet,
)
from reelscope.notebook.sound import loudness_curve, plot_sound, spectrogram
from reelscope.notebook.style import FATE_MARKS, LEGEND
from reelscope.notebook.tables import Table, answers, outcomes, rows_table, stages, words
from reelscope.notebook.timeline import (
    colour_at,
    draw_timeline,
    frame_fates,
    legend_handles,
    plot_timeline,
    waveform,
)

__all__ = [
    "FATE_MARKS", "INK", "KIND_COLOURS", "LEGEND", "PALE", "FrameFate", "Table", "answers",
    "boxed_sheet", "chosen_pictures", "colour_at", "contact_sheet", "creator_sheet",
    "creators_table", "description_text", "draw_picture", "draw_timeline", "frame_fates",
    "frame_reasons", "legend_handles", "looked_at_sheet", "loudness_curve", "outcomes",
    "picture_sheet", "plot_creators", "plot_heard", "plot_hooks", "plot_sound", "plot_timeline",
    "rows_table", "spectrogram", "stages", "values_of", "waveform", "words",
]  # fmt: skip
