"""Variables of the policy service, of Kubernetes and of gunicorn."""

from settings_given import load

from policy_server.notation.credentials import SecretStr


def test_the_policy_services_signer_is_ours() -> None:
    """Its address and the pace of imports are read."""
    settings = load({"SIGNER_ADDR": "http://signer:8080/", "AUTO_IMPORT_POLL_INTERVAL": "5s"})

    assert (settings.signer_url, settings.auto_import_poll_interval) == ("http://signer:8080", 5.0)
    assert settings.warnings == ()


def test_the_policy_services_names_are_understood() -> None:
    """Whoever comes from the policy service keeps the variables."""
    environ = {
        "HTTP_HOST": "",
        "HTTP_PORT": "9000",
        "LOG_LEVEL": "DEBUG",
        "METRICS_ADDR": ":2112",
        "EXTERNAL_HTTP_ADDR": "http://policy:8080",
        "REFRESHER_POLL_INTERVAL": "10s",
        "WEB_CONCURRENCY": "3",
    }

    settings = load(environ)

    assert (settings.bind, settings.url) == ("0.0.0.0:9000", "http://policy:8080")
    assert (settings.log_level, settings.metrics_address) == ("debug", ":2112")
    assert (settings.refresh_poll, settings.workers) == (10.0, 3)


def test_our_own_name_wins_over_the_policy_services() -> None:
    """Where both are set, ours counts."""
    assert load({"HTTP_PORT": "9000", "POLICY_PORT": "9001"}).port == 9001


def test_the_policy_services_names_for_access_are_read() -> None:
    """What protected the original protects here."""
    settings = load(
        {
            "AUTH_ENABLED": "t",
            "AUTH_JWK_URL": "https://issuer.example/keys",
            "AUTH_REFRESH_INTERVAL": "10m",
            "IP_FILTER_ENABLE": "1",
            "IP_FILTER_ALLOWED_IPS": "10.0.0.1, fd00::/8",
            "OAUTH_CLIENT_ID": "us",
            "OAUTH_CLIENT_SECRET": "secret",
            "OAUTH_TOKEN_URL": "https://issuer.example/token",
        }
    )

    assert (settings.auth_enabled, settings.auth_jwk_url) == (True, ("https://issuer.example/keys",))
    assert settings.auth_refresh_interval == 600.0
    assert (settings.ip_filter_enable, settings.ip_filter_allowed_ips) == (True, ("10.0.0.1", "fd00::/8"))
    assert (settings.oauth_client_id, settings.oauth_token_url) == ("us", "https://issuer.example/token")
    assert settings.oauth_client_secret == SecretStr("secret")
    assert settings.dump()["oauth_client_secret"] == "**********"
    assert settings.warnings == ()


def test_protection_that_is_switched_off_is_no_problem() -> None:
    """AUTH_ENABLED=false asks for nothing."""
    assert load({"AUTH_ENABLED": "false", "IP_FILTER_ENABLE": "false", "MONGO_ADDR": ""}).warnings == ()


def test_what_may_be_ignored_gives_a_warning() -> None:
    """What another service would do with a variable and we do otherwise is told in the log."""
    settings = load({"HTTP_WRITE_TIMEOUT": "5s", "USE_NGROK": "true"})

    assert [warning.split(":")[0] for warning in settings.warnings] == [
        "HTTP_WRITE_TIMEOUT has no effect",
        "USE_NGROK has no effect",
    ]


def test_addresses_of_neighbours_keep_their_names() -> None:
    """Whoever moves here from the policy service changes nothing."""
    names = ("CACHE_ADDR", "TASK_ADDR", "SIGNER_ADDR", "DID_RESOLVER_ADDR", "OCM_ADDR", "TRAIN_ADDR")

    settings = load({name: f"http://{name.lower()}:8080/" for name in names})

    assert settings.warnings == ()
    assert settings.cache_url == "http://cache_addr:8080"
    assert settings.task_url == "http://task_addr:8080"
    assert settings.signer_url == "http://signer_addr:8080"
    assert settings.did_resolver_url == "http://did_resolver_addr:8080"
    assert settings.ocm_url == "http://ocm_addr:8080"
    assert settings.train_url == "http://train_addr:8080"


def test_variables_that_kubernetes_makes_are_left_alone() -> None:
    """A service called policy puts POLICY_PORT=tcp://… and others into every container beside it."""
    environ = {
        "POLICY_PORT": "tcp://10.0.0.1:8080",
        "POLICY_SERVICE_HOST": "10.0.0.1",
        "POLICY_SERVICE_PORT_HTTP": "8080",
        "POLICY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "POLICY_SERVER_PORT": "tcp://10.0.0.2:8080",
        "POLICY_SERVER_PORT_8080_TCP": "tcp://10.0.0.2:8080",
    }

    assert load(environ).port == 8080


def test_the_names_of_the_policy_service_name_a_mongodb() -> None:
    """Whoever moves here keeps the variables."""
    environ = {
        "MONGO_ADDR": "mongodb://db-0,db-1/?replicaSet=rs",
        "MONGO_USER": "a@b",
        "MONGO_PASS": "p/w",
        "MONGO_DBNAME": "mine",
        "MONGO_COLLECTION": "rules",
        "MONGO_AUTH_MECHANISM": "SCRAM-SHA-256",
    }

    settings = load(environ)

    assert settings.database == (
        "mongodb://a%40b:p%2Fw@db-0,db-1/mine"
        "?replicaSet=rs&authSource=admin&authMechanism=SCRAM-SHA-256&collection=rules"
    )
    assert settings.origins["storage_url"] == "MONGO_ADDR"
    assert settings.warnings == ()
    assert load({"MONGO_ADDR": "db:27017"}).database == "mongodb://db:27017/policy"


def test_our_own_name_of_the_store_wins_over_the_policy_services() -> None:
    """And parts without an address say that they do nothing."""
    assert load({"MONGO_ADDR": "mongodb://db", "POLICY_STORAGE_URL": "memory:"}).database == "memory:"
    assert load({"MONGO_USER": "ada"}).warnings == ("MONGO_USER has no effect without MONGO_ADDR",)
