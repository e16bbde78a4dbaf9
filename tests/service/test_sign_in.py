"""Who has signed in, as App Service authentication says in its headers: in the log line."""

import pytest

from testing.behaviours import echoes
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import ModelServer

API_KEY = "a-key-of-twenty-characters"
COMPLETIONS = "/api/v1/chat/completions"
ID = "x-ms-client-principal-id"
PERSON = "0f9b8a7c-1234-4cde-8f00-00000000000a"


def _settings(model: ModelServer, sign_in: str | None, *, api_keys: bool = False) -> dict[str, str]:
    settings = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_MODEL": "the-model"}
    if sign_in is not None:
        settings["WEBSITE_AUTH_ENABLED"] = sign_in
    if api_keys:
        settings["CHAT_API_KEYS"] = f"alice={API_KEY}"
    return settings


@pytest.mark.parametrize("path", ["/api/chat", "/api/chat-protocol", COMPLETIONS, "/api/v1/responses"])
@pytest.mark.parametrize("api_keys", [False, True])
@pytest.mark.parametrize("sign_in", ["True", "true", "False", "1", "", None])
async def test_the_id_is_logged_only_where_the_platform_has_set_it(
    service: Service,
    model: ModelServer,
    configure: Configure,
    logged: Logged,
    sign_in: str | None,
    path: str,
    *,
    api_keys: bool,
) -> None:
    configure(**_settings(model, sign_in, api_keys=api_keys))
    model.respond_with(echoes)
    body = {"messages": [{"role": "user", "content": "Hello"}], "input": "Hello", "stream": path != "/api/chat-protocol"}
    async with service.post(body, path=path, headers={ID: PERSON, "Authorization": f"Bearer {API_KEY}"}) as response:
        assert response.status == 200
        await response.read()
    (line,) = await logged()
    takes_api_key = api_keys and path.startswith("/api/v1/")
    assert line.get("api_key_name") == ("alice" if takes_api_key else None)
    assert line.get("enduser.id") == (PERSON if sign_in in {"True", "true"} and not takes_api_key else None)


async def test_the_id_is_not_logged_without_the_required_api_key(
    service: Service, model: ModelServer, configure: Configure, logged: Logged
) -> None:
    configure(**_settings(model, "True", api_keys=True))
    assert (await service.send(QUESTION, path=COMPLETIONS, headers={ID: PERSON}))[0] == 401
    (line,) = await logged()
    assert "enduser.id" not in line


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["alice@contoso.example"],
        ["abcd12345abcd012345abcdef0123450"],  # the user id of Static Web Apps
        [PERSON.replace("-", "")],
        [f"{{{PERSON}}}"],
        [f"{PERSON}, {PERSON}"],
        [PERSON, PERSON],
        [PERSON, ""],
        [PERSON[:-1]],
        [PERSON[:-1] + "g"],
        [PERSON[:-1] + "\u0663"],
        [PERSON * 500],
        ['","outcome":"failed'],
    ],
    ids=lambda values: str(values)[:60],
)
async def test_what_is_not_one_object_id_is_not_logged(
    service: Service, model: ModelServer, configure: Configure, logged: Logged, values: list[str]
) -> None:
    configure(**_settings(model, "True"))
    model.respond_with(echoes)
    assert (await service.send(headers=[(ID, value) for value in values]))[0] == 200
    (line,) = await logged()
    assert line["outcome"] == "completed"
    assert "enduser.id" not in line


async def test_the_principal_of_static_web_apps_is_not_logged(
    service: Service, model: ModelServer, configure: Configure, logged: Logged
) -> None:
    configure(**_settings(model, "True"))
    model.respond_with(echoes)
    principal = "eyJ1c2VySWQiOiJhYmNkMTIzNDVhYmNkMDEyMzQ1YWJjZGVmMDEyMzQ1MCJ9"
    assert (await service.send(headers={"x-ms-client-principal": principal}))[0] == 200
    (line,) = await logged()
    assert "enduser.id" not in line
