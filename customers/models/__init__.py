from customers.models.customer import Customer
from customers.models.data_key import DataKey
from customers.models.hmac_key import HmacKey
from customers.models.key_warning import KeyWarning
from customers.models.seen_nonce import SeenNonce

__all__ = ["Customer", "DataKey", "HmacKey", "KeyWarning", "SeenNonce"]
