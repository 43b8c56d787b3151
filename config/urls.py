from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from imports.api import codes
from monitoring import health

admin.site.site_header = admin.site.site_title = "Longshore"
admin.site.index_title = "Customers, imports and the trail"

urlpatterns = [
    path("api/v1/", include("imports.api.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/docs/reference", SpectacularRedocView.as_view(url_name="schema"), name="reference"),
    path("api/docs/errors", codes.page, name="errors"),
    path("health", health.health, name="health"),
    path("ready", health.ready, name="ready"),
    path("admin/", admin.site.urls),
]

handler400 = "imports.api.fallbacks.bad_request"
handler403 = "imports.api.fallbacks.permission_denied"
handler404 = "imports.api.fallbacks.not_found"
handler500 = "imports.api.fallbacks.server_error"
