"""What the Hugging Face Hub answers to the requests of the real clients, without any sockets.

These are the requests that ``huggingface_hub``, ``transformers`` and ``datasets`` send to create,
fill and read model, data set and Space repos. Xet is not offered; large files go through LFS.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from tests.helpers.loopback_repos import HubError, Repo, StoredFile, goes_to_lfs, read_card

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
URL_PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}


@dataclass(frozen=True)
class Call:
    """One request, taken apart: unquoted path segments, query values, lower-case headers."""

    method: str
    path: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def flag(self, name: str) -> bool:
        return self.query.get(name) in ("1", "true")

    def url(self, kind: str, repo_id: str) -> str:
        """Web address of a repo, on the host that was called."""
        return f"http://{self.headers['host']}/{URL_PREFIXES[kind]}{repo_id}"


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: object, status: int = 200, **headers: str) -> Reply:
        body = json.dumps(content).encode()
        return cls(status, body, {"Content-Type": "application/json", **headers})


class HubProtocol:
    """Repos, users and uploaded LFS objects, and the answer to each request about them.

    ``users`` maps a token to the name of its owner, who may read and write what is below that
    name; everybody may read public repos.
    """

    def __init__(self, users: dict[str, str]) -> None:
        self.users = users
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs_objects: dict[str, bytes] = {}
        self._upload_tickets: dict[str, str] = {}
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Reply:
        """The answer to any request; a refusal is an answer too."""
        try:
            return self._answer(call)
        except HubError as error:
            return Reply.json({"error": str(error)}, error.status, **error.headers)
        except (KeyError, ValueError) as error:
            return Reply.json({"error": f"cannot make sense of the request: {error!r}"}, 400)

    def _answer(self, call: Call) -> Reply:
        with self._lock:
            user = self._user(call)
            match (call.method, *call.path):
                case ("GET", "api", "whoami-v2"):
                    if user is None:
                        raise HubError(401, "Invalid username or password.")
                    return Reply.json({"type": "user", "name": user, "fullname": user, "orgs": []})
                case ("POST", "api", "validate-yaml"):
                    return self._validate_card(call.json()["content"])
                case ("POST", "api", "repos", "create"):
                    return self._create_repo(user, call)
                case ("DELETE", "api", "repos", "delete"):
                    asked = call.json()
                    repo_id = f"{asked.get('organization') or user}/{asked['name']}"
                    repo = self._repo(user, asked.get("type") or "model", repo_id, write=True)
                    del self.repos[repo.kind, repo.repo_id]
                    return Reply.json({})
                case ("PUT", "lfs-upload", ticket):
                    return self._receive_lfs(ticket, call.body)
                case (_, "api", ("models" | "datasets" | "spaces") as kind, owner, name, *rest):
                    write = call.method != "GET" and rest[:1] != ["paths-info"]
                    repo = self._repo(user, KINDS[kind], f"{owner}/{name}", write=write)
                    return self._answer_api(repo, rest, call)
                case (_, ("datasets" | "spaces") as kind, owner, name, *rest):
                    return self._answer_git(user, KINDS[kind], f"{owner}/{name}", rest, call)
                case (_, owner, name, *rest):
                    return self._answer_git(user, "model", f"{owner}/{name}", rest, call)
            raise HubError(404, "Not Found")

    def _user(self, call: Call) -> str | None:
        secret = call.headers.get("authorization", "").removeprefix("Bearer ")
        if secret and secret not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users.get(secret)

    def _repo(self, user: str | None, kind: str, repo_id: str, *, write: bool = False) -> Repo:
        repo = self.repos.get((kind, repo_id))
        owned = user is not None and repo_id.startswith(f"{user}/")
        if repo is None or (repo.private and not owned):
            # The Hub does not tell a stranger whether a private repo exists.
            if user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")
        if write and not owned:
            status, message = (401, "Log in first.") if user is None else (403, "No write access.")
            raise HubError(status, message)
        return repo

    def _create_repo(self, user: str | None, call: Call) -> Reply:
        if user is None:
            raise HubError(401, "Invalid username or password.")
        asked = call.json()
        owner, kind = asked.get("organization") or user, asked.get("type") or "model"
        repo_id = f"{owner}/{asked['name']}"
        if owner != user:
            raise HubError(403, f"You don't have the rights to create a {kind} under {owner}")
        known = {"url": call.url(kind, repo_id), "name": repo_id}
        if (kind, repo_id) in self.repos:
            message = f"You already created this {kind} repo"
            return Reply.json({"error": message, **known}, 409, **{"X-Error-Message": message})
        private = asked.get("visibility") == "private"
        self.repos[kind, repo_id] = Repo(kind, repo_id, private=private, sdk=asked.get("sdk"))
        return Reply.json(known)

    def _validate_card(self, content: str) -> Reply:
        if read_card(content) is not None:
            return Reply.json({"errors": [], "warnings": []})
        if content.startswith("---\n"):
            errors = [{"message": "the metadata is not valid YAML"}]
            return Reply.json({"errors": errors, "warnings": []}, 400)
        warnings = [{"message": "empty or missing yaml metadata in repo card"}]
        return Reply.json({"errors": [], "warnings": warnings})

    def _answer_api(self, repo: Repo, rest: list[str], call: Call) -> Reply:
        match (call.method, *rest):
            case ("GET",):
                return Reply.json(repo.info("main", blobs=call.flag("blobs")))
            case ("GET", "revision", revision):
                return Reply.json(repo.info(revision, blobs=call.flag("blobs")))
            case ("GET", "refs"):
                return Reply.json(repo.refs())
            case ("GET", "commits", revision):
                return Reply.json(repo.history(revision))
            case ("GET", "tree", revision, *folder):
                flags = {"recursive": call.flag("recursive"), "expand": call.flag("expand")}
                return Reply.json(repo.at(revision).tree("/".join(folder), **flags))
            case ("POST", "paths-info", revision):
                form = parse_qs(call.body.decode())
                expand = form.get("expand") == ["true"]
                commit = repo.at(revision)
                found = (commit.entry(p.strip("/"), expand=expand) for p in form.get("paths", []))
                return Reply.json([entry for entry in found if entry])
            case ("POST", "preupload", revision):
                files = [self._preupload(repo, revision, file) for file in call.json()["files"]]
                return Reply.json({"files": files})
            case ("POST", "commit", revision):
                return self._commit(repo, revision, call)
            case ("POST", "branch", name):
                repo.create_branch(name, call.json().get("startingPoint", "main"))
                return Reply.json({})
            case ("POST", "tag", revision):
                repo.create_tag(call.json()["tag"], revision)
                return Reply.json({})
            case ("PUT", "settings"):
                repo.private = call.json()["visibility"] == "private"
                return Reply.json({})
        raise HubError(404, "Not Found")

    def _preupload(self, repo: Repo, revision: str, file: dict) -> dict:
        mode = "lfs" if goes_to_lfs(file["path"], file["size"]) else "regular"
        known = repo.at(revision).files.get(file["path"])
        answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
        return answer | ({"oid": known.etag} if known else {})  # unchanged files are not sent again

    def _commit(self, repo: Repo, branch: str, call: Call) -> Reply:
        if call.flag("create_pr"):
            raise HubError(400, "Pull requests are not part of the loopback hub")
        if branch not in repo.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        files = dict(repo.at(branch).files)
        title = ""
        for line in call.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    title = value["summary"]
                    if value.get("parentCommit", repo.branches[branch]) != repo.branches[branch]:
                        raise HubError(412, "A commit has happened since. Please refresh.")
                case "file":
                    data = base64.b64decode(value["content"])
                    files[value["path"]] = StoredFile(data, lfs=False)
                case "lfsFile":
                    if value["oid"] not in self.lfs_objects:
                        raise HubError(400, f"LFS object of {value['path']} was not uploaded")
                    files[value["path"]] = StoredFile(self.lfs_objects[value["oid"]], lfs=True)
                case "deletedFile" | "deletedFolder":
                    path = value["path"].rstrip("/")
                    gone = [name for name in files if f"{name}/".startswith(f"{path}/")]
                    if not gone:
                        raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
                    for name in gone:
                        del files[name]
                case key:
                    raise HubError(400, f"Unknown operation: {key}")
        sha = repo.commit(branch, title, files).sha
        url = f"{call.url(repo.kind, repo.repo_id)}/commit/{sha}"
        return Reply.json({"success": True, "commitOid": sha, "commitUrl": url})

    def _answer_git(
        self, user: str | None, kind: str, repo_id: str, rest: list[str], call: Call
    ) -> Reply:
        """Contents of files, and the LFS side door of ``<repo>.git``."""
        match (call.method, *rest):
            case ("GET" | "HEAD", "resolve", revision, *path):
                repo = self._repo(user, kind, repo_id)
                return _file(repo, revision, "/".join(path), call.headers.get("range", ""))
            case ("POST", "info", "lfs", "objects", "batch"):
                self._repo(user, kind, repo_id.removesuffix(".git"), write=True)
                verify_url = f"{call.url(kind, repo_id)}/info/lfs/verify"
                objects = [self._lfs_object(o, verify_url, call) for o in call.json()["objects"]]
                return Reply.json({"transfer": "basic", "objects": objects})
            case ("POST", "info", "lfs", "verify"):
                self._repo(user, kind, repo_id.removesuffix(".git"), write=True)
                asked = call.json()
                if len(self.lfs_objects.get(asked["oid"], b"")) != asked["size"]:
                    raise HubError(404, "LFS object not found")
                return Reply.json({})
        raise HubError(404, "Not Found")

    def _lfs_object(self, asked: dict, verify_url: str, call: Call) -> dict:
        known = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] in self.lfs_objects:
            return known  # no actions: the client need not send it
        # An upload carries no login, like the Hub's signed links: the address is the secret.
        ticket = secrets.token_hex(8)
        self._upload_tickets[ticket] = asked["oid"]
        upload = {"href": f"http://{call.headers['host']}/lfs-upload/{ticket}"}
        return {**known, "actions": {"upload": upload, "verify": {"href": verify_url}}}

    def _receive_lfs(self, ticket: str, data: bytes) -> Reply:
        oid = self._upload_tickets.get(ticket)
        if oid is None:
            raise HubError(403, "Unknown upload")
        if hashlib.sha256(data).hexdigest() != oid:
            raise HubError(400, "The content does not match its hash")
        self.lfs_objects[oid] = data
        return Reply()


def _file(repo: Repo, revision: str, path: str, byte_range: str) -> Reply:
    commit, file = repo.file(revision, path)
    size = len(file.data)
    headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if file.lfs:
        headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(size)}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", byte_range)
    if asked is None:
        return Reply(200, file.data, headers)
    start = int(asked[1])
    end = min(int(asked[2] or size), size - 1)
    if start >= size:
        raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Reply(206, file.data[start : end + 1], headers)
