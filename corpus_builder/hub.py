"""Pushing a folder to the Hub: the one place that makes a repo and uploads to it."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)

from corpus_builder import CorpusError


class HubError(CorpusError):
    """The Hub refuses a push or cannot be reached. The message is one clear line."""


def push_folder(
    folder: Path,
    repo: str,
    *,
    message: str,
    repo_type: str = "model",
    private: bool = False,
    files: Sequence[str] | None = None,
    delete: Sequence[str] | None = None,
) -> CommitInfo:
    """Upload a folder as one commit to a repo, which is made when it is not there.

    The repo never holds half a push. Files are sent by content: what an interrupted push has sent
    is not sent again by the next.

    Args:
        folder: what to upload.
        repo: id of the repo, ``you/name``.
        message: of the commit.
        repo_type: ``model``, ``dataset`` or ``space``.
        private: the repo must be private; a new one is made so.
        files: patterns of the files to upload; all when not given.
        delete: patterns of files of the repo to delete when the folder does not hold them.

    Returns:
        The commit; ``commit_url`` is its address and ``repo_url`` that of the repo.

    Raises:
        HubError: a wrong id, no token, a refusal, no connection, or a repo that is public where it
            must be private. Nothing was uploaded.
    """
    api = HfApi()
    try:
        api.create_repo(repo, repo_type=repo_type, private=private, exist_ok=True)
        if private and not api.repo_info(repo, repo_type=repo_type).private:
            raise HubError(f"{repo} is a public repo already; name a new one or make it private")
        return api.upload_folder(
            folder_path=folder,
            repo_id=repo,
            repo_type=repo_type,
            allow_patterns=None if files is None else list(files),
            delete_patterns=None if delete is None else list(delete),
            commit_message=message,
        )
    except HFValidationError as error:
        raise HubError(f"{repo}: {error}") from error
    except LocalTokenNotFoundError as error:
        raise HubError(f"{repo}: not logged in: run `hf auth login` or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        raise HubError(f"{repo}: the Hub refused ({error.server_message or error})") from error
    except (HTTPError, OSError) as error:
        raise HubError(f"{repo}: the Hub cannot be reached ({error})") from error
