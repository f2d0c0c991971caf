"""Load labelled data: load -> locate -> files, class_folders or hub -> examples -> checks."""
