# error: Service('mail'): the setting password is secret and has a default in the code; write
#   `SecretStr` without one, or `SecretStr | None = None`
# error: Service('mail'): the setting api_key is secret and has a default in the code
# error: Service('mail'): the setting pin is secret and has a default in the code

from pydantic import SecretStr

from holdfast import Field, Read, Service, Settings, System

service = Service("mail")


class Secrets(Settings):
    host: str = "localhost"
    password: SecretStr = SecretStr("hunter2")
    api_key: str = "abc"
    pin: SecretStr = Field(default_factory=lambda: SecretStr("1234"))
    nothing: SecretStr = SecretStr("")
    token: str = ""
    perhaps: SecretStr | None = None
    needed: SecretStr


@service.get("/v1/mails", public=True)
async def mails(read: Read, settings: Secrets) -> None: ...


system = System("post", services=[service])
