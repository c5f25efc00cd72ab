# error: Gateway(cors=Cors(…)): origins is empty, so no page may read an answer; name one

from holdfast import Cors, Gateway, Service, System

system = System("shop", [Service("users")], gateway=Gateway(cors=Cors(origins=())))
