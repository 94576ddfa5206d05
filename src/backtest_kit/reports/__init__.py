"""Reports: closed trades → numbers → tables and text. Pure: nothing here reads a clock or writes a file."""
