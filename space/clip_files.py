"""The input of a function that takes several files, for every kind of caller."""

import gradio as gr
from files import set_apart
from gradio.data_classes import FileData, GradioRootModel
from gradio.processing_utils import save_base64_to_cache

FILE = {
    "title": "FileData",
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "meta": {"type": "object", "properties": {"_type": {"const": "gradio.FileData"}}},
    },
    "required": ["path"],
}
ADDRESS = {"type": "string", "description": "a http, https or data URL of a file"}


class FilesOrAddresses(GradioRootModel):
    """What comes over the wire."""

    root: list[FileData | str]


def clip_files(label: str) -> gr.File:
    """Return an input for several files that MCP clients, too, can fill; it is on no page.

    Gradio turns a file of an MCP request into an upload, but not a list of files, whose schema
    names definitions that are not there. Here each may be a URL. A component of its own would
    have Gradio write a stub beside this file, so one of Gradio's is changed instead.
    """
    files = gr.File(file_count="multiple", type="filepath", label=label, visible=False)

    def path(file: FileData | str) -> str:
        if isinstance(file, FileData):
            return file.path
        if file.startswith("data:"):
            return set_apart(save_base64_to_cache(file, files.GRADIO_CACHE))
        if file.startswith(("http://", "https://")):
            # Gradio refuses addresses inside the server's own network.
            return set_apart(files.move_resource_to_block_cache(file))
        raise gr.Error(
            "A file must be an upload, or a http, https or data URL.", print_exception=False
        )

    files.data_model = FilesOrAddresses
    files.api_info = lambda: {"type": "array", "items": {"anyOf": [FILE, ADDRESS]}}
    files.preprocess = lambda payload: [path(file) for file in payload.root] if payload else []
    return files
