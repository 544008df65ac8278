"""The page as a set of MCP tools, called by a real MCP client."""

import asyncio
import base64
import json
from typing import Any

import pytest
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult
from settings import VERSION
from uploads import sweep, upload_folder


@pytest.fixture(scope="module")
def url(serve, text_model) -> str:
    return serve(model=str(text_model))


def ask(url: str, tool: str | None, arguments: dict[str, Any] | None = None) -> Any:
    """Call a tool, or list all of them."""

    async def session() -> Any:
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, *_),
            ClientSession(read, write) as client,
        ):
            server = (await client.initialize()).serverInfo
            assert server.version == VERSION
            if tool is None:
                return (await client.list_tools()).tools
            return await client.call_tool(tool, arguments or {})

    return asyncio.run(asyncio.wait_for(session(), 120))


def read(result: CallToolResult) -> dict[str, Any]:
    assert not result.isError, result
    # The client has checked it against the tool's schema.
    assert json.loads(result.content[0].text) == result.structuredContent
    return result.structuredContent


def as_data(path) -> str:
    return "data:audio/wav;base64," + base64.b64encode(path.read_bytes()).decode()


def test_tools_are_described(url):
    tools = {tool.name: tool for tool in ask(url, None)}
    assert {"predict", "explain", "timeline", "batch", "about"} <= set(tools)
    predict = tools["predict"]
    assert "Classify the emotion of one short clip" in predict.description
    assert set(predict.inputSchema["properties"]) == {"audio", "text"}
    assert "emotions" in predict.outputSchema["required"]
    assert "if they are known" in predict.inputSchema["properties"]["text"]["description"]


def test_predict_and_batch(url, angry_clip):
    clip = as_data(angry_clip)
    answer = read(ask(url, "predict", {"audio": clip, "text": "no leave me alone"}))
    assert len(answer["emotions"]) == 7 and answer["transcript_source"] == "given"
    rows = read(ask(url, "batch", {"files": [clip, clip]}))["rows"]
    assert len(rows) == 2 and all(row["error"] is None and row["score"] for row in rows)
    assert rows[0]["score"] == rows[1]["score"]
    sweep(upload_folder(), older_than=-1)


def test_batch_takes_no_paths_of_the_server(url, angry_clip):
    result = ask(url, "batch", {"files": [str(angry_clip)]})
    assert result.isError and "data URL" in result.content[0].text
    result = ask(url, "batch", {"files": [f"{url}gradio_api/openapi.json"]})
    assert result.isError


def test_refusal_is_one_line(url, tmp_path):
    wrong = tmp_path / "wrong.wav"
    wrong.write_text("this is no audio")
    result = ask(url, "predict", {"audio": as_data(wrong), "text": ""})
    assert result.isError and "could not be read as audio" in result.content[0].text
    assert "Traceback" not in result.content[0].text


def test_server_has_the_same_functions_over_the_api(url):
    endpoints = Client(url, verbose=False).view_api(return_format="dict")["named_endpoints"]
    assert {tool.name for tool in ask(url, None)} == {name.strip("/") for name in endpoints}


def test_about(url, text_model):
    assert read(ask(url, "about"))["model"] == text_model.name
