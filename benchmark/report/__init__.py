"""Tables → text and pictures. Nothing is computed here."""
