"""`python -m backstay` runs the operator."""

from backstay.main import run

if __name__ == "__main__":
    run()
