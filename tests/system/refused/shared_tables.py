# error: orders and payments share one MetaData; each service owns its tables: give each a MetaData
#   of its own

from sqlalchemy import MetaData

from holdfast import Service, System

metadata = MetaData()
orders = Service("orders", tables=metadata)
payments = Service("payments", tables=[MetaData(), metadata])

system = System("shop", [orders, payments])
