"""Methods and masks inside the training code of others; what needs Lightning or Hugging Face is imported by name."""

__all__: list[str] = []
