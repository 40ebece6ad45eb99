"""Figures of a report or a paper: frames in, matplotlib figures out, nothing computed but places on paper.

One file a figure. All are drawn with the colours of ``benchmark.report.palette``, at the size at which they
are printed: `drawing.COLUMN` or `drawing.PAGE` inches wide, letters of 6 and 7 points. Names that users gave
are drawn as they stand. ``benchmark.report.figure.save`` writes a figure to a file, `svg.themed_svg` into a
page.
"""

from benchmark.report.pictures import own_style as own_style  # before anything else imports matplotlib
