"""`Usage` at a `Rate` becomes `Charge`: dated rates, the most specific match, never a silent zero."""
