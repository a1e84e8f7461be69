//! Floor 9: the command line, one file per sub-command; the only place that prints and exits.
