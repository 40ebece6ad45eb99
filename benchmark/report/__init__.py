"""Tables → text and pictures. Nothing is computed here."""

from benchmark.report.pictures import own_style as own_style  # before anything else imports matplotlib
