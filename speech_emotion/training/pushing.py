"""Sending a trained folder to the Hub."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)

from speech_emotion.training.saving import TrainingFailed


def push_folder(folder: Path, repo: str, *, private: bool) -> str:
    """Push a checkpoint folder, with its card, as one commit.

    Args:
        repo: id of a model repo, made when it is not there.
        private: push to a private repo.

    Returns:
        the address of the commit.

    Raises:
        TrainingFailed: the Hub refuses or cannot be reached, or the repo is public where it must
            be private. The folder is as it was.
    """
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise TrainingFailed(f"{repo} is a public repo already; {folder} was not pushed")
        commit = api.upload_folder(
            folder_path=folder, repo_id=repo, commit_message="Trained with train.py"
        )
    except HFValidationError as error:
        raise TrainingFailed(f"{repo}: {error}") from error
    except LocalTokenNotFoundError as error:
        raise TrainingFailed(
            f"{folder} was not pushed: not logged in, run `hf auth login` or set HF_TOKEN"
        ) from error
    except HfHubHTTPError as error:
        reason = error.server_message or error
        raise TrainingFailed(f"{folder} was not pushed: the Hub refused ({reason})") from error
    except (HTTPError, OSError) as error:
        raise TrainingFailed(
            f"{folder} was not pushed: the Hub cannot be reached ({error})"
        ) from error
    return commit.commit_url
