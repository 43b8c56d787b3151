from customers.admin.customer import CustomerAdmin
from customers.admin.data_key import DataKeyAdmin
from customers.admin.hmac_key import HmacKeyAdmin

__all__ = ["CustomerAdmin", "DataKeyAdmin", "HmacKeyAdmin"]
