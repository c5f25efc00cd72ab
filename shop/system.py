"""The shop as one declaration: `holdfast run shop` runs it."""

from holdfast import Build, Deploy, Environment, Gateway, Rate, System, Tokens
from shop.inventory.service import inventory
from shop.notifications.service import notifications
from shop.orders.service import orders
from shop.payments.service import payments
from shop.users.messages import AUDIENCE, ISSUER, GetSigningKeys
from shop.users.service import users

shop = System(
    "shop",
    services=[users, inventory, orders, payments, notifications],
    gateway=Gateway(
        tokens=Tokens(issuer=ISSUER, audience=AUDIENCE, keys=GetSigningKeys),
        per_caller=Rate(per_s=100, burst=500),
        per_address=Rate(per_s=500, burst=1_000),  # an address may be a whole office
        trusted_proxies=("10.0.0.0/8",),  # of the cluster, whose policies let in no other pods
    ),
    deploy=Deploy(
        registry="ghcr.io/example",
        repository="https://github.com/example/shop.git",
        environments=[
            Environment(
                "staging",
                host="shop.staging.example.com",
                size="small",
                databases="cluster",
                traced=1.0,
                urls={"processor": "https://sandbox.processor.example.com"},
            ),
            Environment(
                "production",
                host="shop.example.com",
                urls={"processor": "https://api.processor.example.com"},
            ),
        ],
        build=Build(
            requirements="requirements/image.txt",
            sources=["shop"],
            project=["pyproject.toml", "README.md", "LICENSE", "src"],  # Holdfast itself
            backend="requirements/backend.txt",
            development=["requirements/run.txt", "requirements/test.txt"],
        ),
    ),
)

TRY = [
    "curl -H content-type:application/json {url}/v1/users -d "
    """'{"email": "ada@example.com", "password": "analytical", "name": "Ada"}'""",
    "TOKEN=$(curl -s -H content-type:application/json {url}/v1/tokens -d "
    """'{"email": "ada@example.com", "password": "analytical"}' | cut -d '"' -f 4)""",
    'curl -H content-type:application/json -H "authorization: Bearer $TOKEN" {url}/v1/orders -d '
    """'{"lines": [{"sku": "LANTERN", "quantity": 2}]}'""",
]
"""What `holdfast run shop` proposes: open an account, log in, place an order."""
