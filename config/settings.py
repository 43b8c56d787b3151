"""Django settings. One file; the environment decides, and every refusal says what to set.

Without DATABASE_URL (or REDIS_URL) the embedded server of DATA_DIR is used, and the secrets that production takes from
the environment are generated once into DATA_DIR/secrets, readable by their owner only.
"""

import multiprocessing
from pathlib import Path
from typing import Any

import django_stubs_ext

from config import env, servers

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / ".data"))).resolve()

# Servers

EMBEDDED = servers.is_embedded()
DATABASE_URL, REDIS_URL = servers.urls(DATA_DIR)

# A web process holds a pool; a worker forks, so it keeps plain connections (a pool never crosses a fork).
DATABASE_POOL = env.flag("DATABASE_POOL")
DATABASES: dict[str, dict[str, Any]] = {
    "default": servers.database(DATABASE_URL, pool=DATABASE_POOL, pool_size=env.integer("DATABASE_POOL_SIZE", 16))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

RQ_QUEUES = {
    "imports": {
        "URL": REDIS_URL,
        "SERIALIZER": "rq.serializers.JSONSerializer",
        "DEFAULT_TIMEOUT": 300,
        "DEFAULT_RESULT_TTL": 0,
    }
}
RQ = {"COMMIT_MODE": "auto"}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # redis-py 8 ends a quiet connection after 5 s by default, which would drop idle sockets.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "longshore"},
    }
}

# Keys

SECRET_KEY = servers.secret("SECRET_KEY", DATA_DIR)
MASTER_KEYS = servers.master_keys(DATA_DIR)

# The house

DEBUG = False
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", ("127.0.0.1", "localhost", "[::1]"))
TRUSTED_PROXIES = env.listing("TRUSTED_PROXIES")
PORT = env.integer("PORT", 8000, minimum=1)
WORKERS = env.integer("WORKERS", 2, minimum=1)
WEB = env.integer("WEB", min(2, multiprocessing.cpu_count()), minimum=1)
# What one batch may take; a worker beyond it counts as killed.
WORKER_MEMORY_MB = env.integer("WORKER_MEMORY_MB", 1024, minimum=256)
WORKER_BATCH_SECONDS = env.integer("WORKER_BATCH_SECONDS", 120, minimum=1)
# How long a worker waits for a lock and for a statement; then its batch is put off and the worker goes on with others.
WORKER_LOCK_SECONDS = env.integer("WORKER_LOCK_SECONDS", 5, minimum=1)
WORKER_STATEMENT_SECONDS = env.integer("WORKER_STATEMENT_SECONDS", 60, minimum=1)

INSTALLED_APPS = [
    "config",
    "monitoring",
    "imports",
    "customers",
    "audit",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_rq",
    "axes",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "config.middleware.ForwardedProtoMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.RequestContextMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    # Last, since it makes the whole chain run in one thread.
    "config.middleware.ActingStaffMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# The gate keeps API bodies in memory; what reaches Django's own parsers is small and never spooled to disk.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 1
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
# As everywhere else: the peer, or what a trusted proxy says of it. Failures are rows, so no login needs Valkey.
AXES_CLIENT_IP_CALLABLE = "config.middleware.address_of"
AXES_VERBOSE = False
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# TLS: HTTPS says that callers reach this house by TLS only (behind nginx, or granian's own certificate).

HTTPS = env.flag("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(health|ready)$"]  # asked from this machine and by load balancers, in the clear
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 8 * 60 * 60
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The API

# What the parts of one import may have together, unpacked. A single body has 512 MB at most.
IMPORT_MAX_MB = env.integer("IMPORT_MAX_MB", 4096, minimum=512)
# What the bodies under way may take in one web process: at least the largest one in three quarters of it.
WEB_BODY_MEMORY_MB = env.integer("WEB_BODY_MEMORY_MB", 512, minimum=128)
# A body of which no byte came for this long is given up (408).
BODY_IDLE_SECONDS = env.integer("BODY_IDLE_SECONDS", 30, minimum=1)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["imports.api.authentication.SignedCallAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["imports.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "imports.api.negotiation.OneForm",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "imports.api.problems.handle_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Longshore",
    "DESCRIPTION": "Signed bulk imports. docs/callers.md begins with a first signed call.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Members of one name with other choices: each set gets a name of its own.
    "ENUM_NAME_OVERRIDES": {
        "FailedRecordStateEnum": ["open", "retrying", "resolved", "discarded", "expired", "erased"],
        "RedriveStateEnum": ["running", "paused", "cancelled", "done"],
        "WantedStateEnum": ["open", "discarded"],
        "DiscardReasonEnum": ["duplicate", "obsolete", "invalid", "test", "other", "undone"],
        "GivenDiscardReasonEnum": ["duplicate", "obsolete", "invalid", "test", "other"],
        "UndoStateEnum": ["running", "done", "failed"],
        "KeptReasonEnum": ["changed", "edited", "confirmed", "superseded", "no_version"],
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "config.logs.formatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "rq": {"level": "WARNING"},
        "rq.worker": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}
