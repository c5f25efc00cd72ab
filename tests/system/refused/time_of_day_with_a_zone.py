# error: shop: opening.at is a time of day with a zone, which cannot be compared without a date;
#   keep a DateTime(timezone=True), or a Time beside the name of its zone

from sqlalchemy import Column, MetaData, Table, Time

from holdfast import Service, System

metadata = MetaData()
Table("opening", metadata, Column("at", Time(timezone=True)), Column("until", Time))

system = System("shops", [Service("shop", tables=metadata)])
