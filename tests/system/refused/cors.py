# error: Gateway(cors=Cors(…)): origins has '*' beside others; write it alone, or leave it out
# error: Gateway(cors=Cors(…)): every page could act with its visitor's cookies; name the origins
# error: Gateway(cors=Cors(…)): origin 'https://shop.example/' is not as browsers write it
# error: Gateway(cors=Cors(…)): origin 'https://Shop.example' is not as browsers write it
# error: Gateway(cors=Cors(…)): origin 'https://shop.example:443' is not as browsers write it
# error: Gateway(cors=Cors(…)): origin 'shop.example' is not as browsers write it
# error: Gateway(cors=Cors(…)): origin 'null' is not as browsers write it
# error: Gateway(cors=Cors(…)): origin 'https://*.example' is not as browsers write it
# error: Gateway(cors=Cors(…)): methods has '*'; write each name by itself
# error: Gateway(cors=Cors(…)): headers has 'a, b'; write each name by itself
# error: Gateway(cors=Cors(…)): expose has '*'; write each name by itself
# error: Gateway(cors=Cors(…)): max_age_s=-1; write 0..86400 seconds

from holdfast import Cors, Gateway, Service, System

system = System(
    "shop",
    [Service("users")],
    gateway=Gateway(
        cors=Cors(
            origins=(
                "*",
                "https://shop.example/",
                "https://Shop.example",
                "https://shop.example:443",
                "shop.example",
                "null",
                "https://*.example",
                "https://shop.example:8443",
                "capacitor://localhost",
            ),
            methods=("*",),
            headers=("a, b", "*"),
            expose=("*",),
            credentials=True,
            max_age_s=-1,
        )
    ),
)
