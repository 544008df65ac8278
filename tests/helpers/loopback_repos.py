"""The repos behind the loopback hub: files, commits, branches and tags, all in memory."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import yaml

# What the Hub's own .gitattributes sends to LFS, as far as this project has such files.
LFS_ENDINGS = (".safetensors", ".bin", ".onnx", ".parquet", ".arrow", ".npz", ".zip", ".gz")
LFS_ENDINGS += (".wav", ".flac", ".mp3", ".ogg", ".png", ".jpg")
REGULAR_FILE_LIMIT = 10 * 1024 * 1024  # bytes; anything larger goes to LFS whatever its name
GIT_ATTRIBUTES = "".join(f"*{e} filter=lfs diff=lfs merge=lfs -text\n" for e in LFS_ENDINGS)


def goes_to_lfs(path: str, size: int) -> bool:
    """Whether the Hub wants this file (``size`` in bytes) through LFS instead of in the commit."""
    return size > REGULAR_FILE_LIMIT or path.endswith(LFS_ENDINGS)


class HubError(Exception):
    """A refusal, in the Hub's terms: status, one line, and the code that the clients act on."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **headers}
        if code:
            self.headers["X-Error-Code"] = code


@dataclass(frozen=True)
class StoredFile:
    data: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git itself holds in place of an LFS file."""
        spec = "version https://git-lfs.github.com/spec/v1"
        return f"{spec}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()

    @cached_property
    def oid(self) -> str:
        """The git object id of the file, or of its pointer."""
        blob = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def lfs_info(self, hash_name: str) -> dict:
        if not self.lfs:
            return {}
        size, pointer_size = len(self.data), len(self.pointer)
        return {"lfs": {hash_name: self.sha256, "size": size, "pointerSize": pointer_size}}


@dataclass(frozen=True)
class Commit:
    sha: str
    parent: Commit | None
    title: str
    date: str
    files: dict[str, StoredFile]

    def below(self, path: str) -> dict[str, str]:
        """Object ids of the file at ``path``, or of every file in that folder."""
        return {
            name: file.oid
            for name, file in self.files.items()
            if not path or name == path or name.startswith(f"{path}/")
        }

    def last_change(self, path: str) -> dict:
        commit = self
        while commit.parent and commit.parent.below(path) == self.below(path):
            commit = commit.parent
        return {"id": commit.sha, "title": commit.title, "date": commit.date}

    def entry(self, path: str, *, expand: bool) -> dict | None:
        """A file or folder as ``tree`` and ``paths-info`` describe it."""
        inside = self.below(path)
        if not inside:
            return None
        if path in self.files:
            file = self.files[path]
            entry = {"type": "file", "path": path, "size": len(file.data), "oid": file.oid}
            entry |= file.lfs_info("oid")
        else:
            oid = hashlib.sha1(json.dumps(sorted(inside.items())).encode()).hexdigest()
            entry = {"type": "directory", "path": path, "size": 0, "oid": oid}
        return entry | ({"lastCommit": self.last_change(path)} if expand else {})

    def tree(self, folder: str, *, recursive: bool, expand: bool) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        paths = set()
        for path in self.files:
            if path.startswith(prefix):
                parts = path[len(prefix) :].split("/")
                depth = len(parts) if recursive else 1
                paths |= {prefix + "/".join(parts[: n + 1]) for n in range(depth)}
        if folder and not paths:
            raise HubError(404, f"{folder} does not exist", "EntryNotFound")
        return [self.entry(path, expand=expand) for path in sorted(paths)]


class Repo:
    """A repo with its whole history; every commit keeps its own listing of files."""

    def __init__(self, kind: str, repo_id: str, *, private: bool, sdk: str | None = None):
        self.kind, self.repo_id, self.private, self.sdk = kind, repo_id, private, sdk
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        attributes = StoredFile(GIT_ATTRIBUTES.encode(), lfs=False)
        self.commit("main", "initial commit", {".gitattributes": attributes})

    def commit(self, branch: str, title: str, files: dict[str, StoredFile]) -> Commit:
        parent = self.commits.get(self.branches.get(branch, ""))
        oids = [parent and parent.sha, title, sorted((p, f.oid) for p, f in files.items())]
        sha = hashlib.sha1(json.dumps([self.kind, self.repo_id, oids]).encode()).hexdigest()
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.commits[sha] = Commit(sha, parent, title, date, files)
        self.branches[branch] = sha
        return self.commits[sha]

    def at(self, revision: str) -> Commit:
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    def file(self, revision: str, path: str) -> tuple[Commit, StoredFile]:
        commit = self.at(revision)
        if path not in commit.files:
            # The clients remember per commit that a file is missing, so they need its name.
            headers = {"X-Repo-Commit": commit.sha}
            raise HubError(404, "Entry not found", "EntryNotFound", **headers)
        return commit, commit.files[path]

    def create_branch(self, name: str, start: str) -> None:
        if name in self.branches:
            raise HubError(409, f"Reference already exists: {name}")
        self.branches[name] = self.at(start).sha

    def create_tag(self, name: str, revision: str) -> None:
        if name in self.tags:
            raise HubError(409, f"Reference already exists: {name}")
        self.tags[name] = self.at(revision).sha

    def refs(self) -> dict:
        def listed(names: dict[str, str], folder: str) -> list[dict]:
            return [
                {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": sha}
                for name, sha in names.items()
            ]

        branches, tags = listed(self.branches, "heads"), listed(self.tags, "tags")
        return {"branches": branches, "tags": tags, "converts": []}

    def history(self, revision: str) -> list[dict]:
        """Commits, newest first."""
        commit, commits = self.at(revision), []
        while commit:
            about = {"id": commit.sha, "title": commit.title, "date": commit.date}
            commits.append({**about, "message": "", "authors": []})
            commit = commit.parent
        return commits

    def info(self, revision: str, *, blobs: bool) -> dict:
        commit = self.at(revision)
        readme = commit.files.get("README.md")
        card = read_card(readme.data.decode()) if readme else None
        siblings = []
        for path, file in sorted(commit.files.items()):
            details = {"size": len(file.data), "blobId": file.oid, **file.lfs_info("sha256")}
            siblings.append({"rfilename": path, **(details if blobs else {})})
        about = {key: card[key] for key in ("pipeline_tag", "library_name") if key in (card or {})}
        return {
            "id": self.repo_id,
            "author": self.repo_id.split("/")[0],
            "sha": commit.sha,
            "lastModified": commit.date,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": (card or {}).get("tags") or [],
            "cardData": card,
            "sdk": self.sdk,
            "siblings": siblings,
            **about,
        }


def read_card(text: str) -> dict | None:
    """The YAML front matter of a README, or None when there is none or it is not YAML."""
    front_matter = re.match(r"---\n(.*?)^---$", text, flags=re.DOTALL | re.MULTILINE)
    if front_matter is None:
        return None
    try:
        card = yaml.safe_load(front_matter[1]) or {}
    except yaml.YAMLError:
        return None
    return card if isinstance(card, dict) else None
