"""Who decides which database is the primary: one file, one manager. `runtime/manager.py` says what each must do, and finds it."""
