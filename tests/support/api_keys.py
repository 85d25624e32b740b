"""API keys that no billing made, in the form that billing gives them."""

from services._runtime.key_form import KEY_ID_LENGTH, RANDOM_LENGTH, checksum


def api_key(key_id: str = "a", secret: str = "s") -> str:
    """Both are filled up with zeros."""
    text = api_key_of_earlier_releases(key_id, secret)
    return text + checksum(text)


def api_key_of_earlier_releases(key_id: str = "a", secret: str = "s") -> str:
    return f"hg_{key_id:0<{KEY_ID_LENGTH}}_{secret:0<{RANDOM_LENGTH}}"
