from django.apps import AppConfig
from django.core.checks import Tags, register


class CustomersConfig(AppConfig):
    name = "customers"

    def ready(self) -> None:
        from customers import checks

        register(checks.check_master_keys, Tags.security)
        register(checks.check_secret_key, Tags.security)
        register(checks.check_trusted_proxies, Tags.security)
