"""The pages of the app; each is a script that `app/main.py` runs."""
