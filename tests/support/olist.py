"""Two made-up orders in the tables of the Olist data set, with the oddities that the real ones have."""

from pathlib import Path

TABLES = {
    "customers.csv": """customer_id,customer_unique_id,customer_state
c1,person-1,SP
c2,person-2,RJ
""",
    "items.csv": """order_id,order_item_id,price
o1,1,100.00
o1,2,29.9
""",
    "orders.csv": """order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,\
order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date
o2,c2,canceled,2018-06-04 16:44:48,,,,2018-06-28 00:00:00
o1,c1,delivered,2017-07-09 21:57:05,2017-07-12 22:10:13,\
2017-07-11 14:58:04,2017-07-26 10:57:55,2017-08-01 00:00:00
""",
    "payments.csv": """order_id,payment_sequential,payment_value
o1,1,99.9
o1,2,0.1
o1,3,29.95
""",
    "reviews.csv": """review_id,order_id,review_score,review_comment_title,review_comment_message,\
review_creation_date,review_answer_timestamp
r1,o1,5,Bom,"Chegou, enfim.
Recomendo",2017-07-27 00:00:00,2017-07-28 12:27:34
r1,o2,1,,,2018-06-30 00:00:00,2018-07-01 08:00:00
""",
}


def write_tables(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    return folder
