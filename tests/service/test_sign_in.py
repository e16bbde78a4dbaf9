"""Who has signed in, as App Service authentication says in its headers: in the log line and on the chat page."""

import pytest

from testing.behaviours import echoes
from testing.client import QUESTION, Configure, Logged, Service
from testing.model_server import ModelServer

API_KEY = "a-key-of-twenty-characters"
COMPLETIONS = "/api/v1/chat/completions"
ID = "x-ms-client-principal-id"
NAME = "x-ms-client-principal-name"
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


async def test_the_chat_page_names_the_person(service: Service, model: ModelServer, configure: Configure) -> None:
    configure(**_settings(model, "True"))
    etags = set()
    for name, shown in {
        "alice@contoso.example": "alice@contoso.example",
        "Zoë Ōta": "Zoë Ōta",
        "<img src=x onerror=alert(1)>": "&lt;img src=x onerror=alert(1)&gt;",
        "\"'&{name}": "&quot;&#x27;&amp;{name}",
        "x" * 5000: "x" * 200,
    }.items():
        async with service.session.get(f"{service.url}/api/chat", headers={NAME: name}) as response:
            assert f'<bdi id="person">{shown}</bdi>' in await response.text()
            assert response.headers["Cache-Control"] == "private, no-cache"
            assert response.headers["Referrer-Policy"] == "same-origin"
            etags.add(response.headers["ETag"])
        async with service.session.get(
            f"{service.url}/api/chat", headers={NAME: name, "If-None-Match": response.headers["ETag"]}
        ) as response:
            assert response.status == 304
    assert len(etags) == 5


@pytest.mark.parametrize("headers", [[], [(NAME, "")], [(NAME, "alice"), (NAME, "bob")]], ids=str)
async def test_the_chat_page_names_nobody_if_the_name_is_unknown(
    service: Service, model: ModelServer, configure: Configure, headers: list[tuple[str, str]]
) -> None:
    configure(**_settings(model, "True"))
    async with service.session.get(f"{service.url}/api/chat", headers=headers) as response:
        assert "Sign out" not in await response.text()
        assert response.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("sign_in", ["False", None])
@pytest.mark.parametrize("page", ["chat", "docs"])
async def test_pages_are_the_same_for_everyone_without_a_sign_in(
    service: Service, model: ModelServer, configure: Configure, sign_in: str | None, page: str
) -> None:
    configure(**_settings(model, sign_in))
    responses = []
    for headers in ({}, {NAME: "mallory", ID: PERSON}):
        async with service.session.get(f"{service.url}/api/{page}", headers=headers) as response:
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            responses.append((response.headers["ETag"], await response.read()))
    assert responses[0] == responses[1]


async def test_the_page_of_a_person_does_not_depend_on_valid_settings(service: Service, configure: Configure) -> None:
    configure(CHAT_TIMEOUT="soon", WEBSITE_AUTH_ENABLED="True")
    async with service.session.get(f"{service.url}/api/chat", headers={NAME: "alice"}) as response:
        assert '<bdi id="person">alice</bdi>' in await response.text()
