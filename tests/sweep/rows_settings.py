"""Which test shows what a setting, or a field of the configuration file, does."""

_PROCESS = "tests/service/_runtime/process/test_process.py::"
_SERVER = "tests/service/_runtime/rpc/test_server.py::"
_CALLS = "tests/service/_runtime/rpc/test_interceptors.py::"
_EXPOSED = "tests/unit/_runtime/rpc/test_exposure.py::"
_START = "tests/e2e/test_guarded_starts.py::"
_HOSTILE = "tests/e2e/test_hostile_connections.py::"
_HERE = "tests/sweep/test_settings_count.py::"
_CACHE = "tests/unit/cache/test_memory_store.py::"
_CACHED = "tests/unit/cache/test_cache.py::"
_PEERS = "tests/service/router/test_peers_down.py::"
_FLOODS = "tests/service/router/test_floods.py::"
_BILLING = "tests/service/billing/test_process.py::"

SETTINGS = {
    "HEADGATE_*_LISTEN": f"{_SERVER}test_a_port_that_is_taken_is_told_by_its_setting",
    "HEADGATE_*_METRICS_LISTEN": f"{_PROCESS}test_two_workers_share_a_port_and_their_metrics_add_up",
    "HEADGATE_*_WORKERS": f"{_PROCESS}test_two_workers_share_a_port_and_their_metrics_add_up",
    "HEADGATE_*_DRAIN_SECONDS": f"{_PROCESS}test_a_call_that_outlasts_the_drain_is_cut",
    "HEADGATE_*_LAME_DUCK_SECONDS": f"{_PROCESS}test_a_second_signal_ends_the_process_at_once",
    "HEADGATE_*_MAX_MESSAGE_BYTES": f"{_CALLS}test_a_message_far_over_the_cap_is_refused_before_it_is_read",
    "HEADGATE_*_MAX_REQUEST_BYTES_IN_FLIGHT": f"{_HERE}test_requests_in_flight_have_the_room_that_is_set",
    "HEADGATE_*_MAX_CONNECTIONS": f"{_HERE}test_what_grpc_is_told_follows_the_settings",
    "HEADGATE_*_MAX_CALLS_PER_CONNECTION": f"{_HERE}test_what_grpc_is_told_follows_the_settings",
    "HEADGATE_*_MAX_CONNECTION_IDLE_SECONDS": f"{_HERE}test_what_grpc_is_told_follows_the_settings",
    "HEADGATE_*_MAX_CONNECTION_AGE_SECONDS": f"{_HERE}test_what_grpc_is_told_follows_the_settings",
    "HEADGATE_*_REFLECTION": f"{_SERVER}test_reflection_can_be_turned_off",
    "HEADGATE_*_CHANNELZ": f"{_SERVER}test_channelz_is_not_served_unless_it_is_asked_for",
    "HEADGATE_*_TLS_CERT_FILE": f"{_SERVER}test_tls_serves_with_the_certificate_and_asks_for_the_clients",
    "HEADGATE_*_TLS_KEY_FILE": f"{_SERVER}test_a_certificate_without_its_key_is_refused",
    "HEADGATE_*_TLS_CLIENT_CA_FILE": f"{_SERVER}test_tls_serves_with_the_certificate_and_asks_for_the_clients",
    "HEADGATE_*_ALLOW_INSECURE_LISTEN": f"{_SERVER}test_the_explicit_setting_opens_it",
    "HEADGATE_*_ALLOW_INSECURE_METRICS": f"{_EXPOSED}test_exactly_the_safe_ones_start",
    "HEADGATE_*_PORT_FILE": f"{_PROCESS}test_a_process_tells_where_it_listens_in_its_log_and_its_port_file",
    "HEADGATE_*_LOG_LEVEL": "tests/unit/_runtime/telemetry/test_logs.py::test_lines_below_the_level_are_not_written",
    "HEADGATE_*_OTLP_ENDPOINT": f"{_HERE}test_spans_are_exported_to_the_address_that_is_set",
    "HEADGATE_*_TRACE_FILE": "tests/service/_runtime/telemetry/test_traces.py::test_spans_can_be_written_to_a_file_as_lines",
    "HEADGATE_*_TRACE_SAMPLE_RATIO": "tests/service/_runtime/telemetry/test_traces.py::test_a_trace_begun_here_is_recorded_as_the_ratio_says",
    "HEADGATE_CONFIG": "tests/service/ratelimit/test_process.py::test_a_limit_that_can_not_be_is_refused_with_file_and_line",
    "HEADGATE_DATA_DIR": f"{_BILLING}test_a_second_process_on_the_same_file_is_refused",
    "HEADGATE_INTERNAL_TOKEN": f"{_PROCESS}test_the_internal_token_of_the_installation_is_asked_for",
    "HEADGATE_ALLOW_NO_INTERNAL_TOKEN": f"{_START}test_without_a_token_a_service_does_not_serve_and_says_what_to_set",
    "HEADGATE_ROUTER_CACHE_ADDRESS": f"{_PEERS}test_without_the_cache_every_answer_is_a_miss",
    "HEADGATE_ROUTER_RATELIMIT_ADDRESS": f"{_PEERS}test_without_the_rate_limiter_requests_are_admitted",
    "HEADGATE_ROUTER_BILLING_ADDRESS": f"{_START}test_a_router_does_not_tell_the_token_to_other_machines_in_clear",
    "HEADGATE_ROUTER_PEER_CA_FILE": "tests/unit/router/test_settings.py::test_a_peer_elsewhere_is_called_over_tls_or_by_choice",
    "HEADGATE_ROUTER_ALLOW_INSECURE_PEERS": "tests/unit/router/test_settings.py::test_a_peer_elsewhere_is_called_over_tls_or_by_choice",
    "HEADGATE_ROUTER_START_WAIT_SECONDS": "tests/e2e/test_starts.py::test_a_router_waits_for_billing_and_then_knows_the_first_key_that_it_sees",
    "HEADGATE_ROUTER_PEER_TIMEOUT_SECONDS": f"{_HERE}test_a_peer_that_hangs_is_waited_for_as_long_as_is_set",
    "HEADGATE_ROUTER_PEER_TIMEOUT_FLOOR_SECONDS": f"{_HERE}test_a_peer_that_hangs_is_waited_for_as_long_as_is_set",
    "HEADGATE_ROUTER_KEY_FRESH_SECONDS": "tests/unit/router/accounts/test_authentication.py::test_a_revoked_key_works_no_longer_than_it_is_fresh",
    "HEADGATE_ROUTER_KEY_STALE_SECONDS": "tests/unit/router/accounts/test_authentication.py::test_a_known_key_works_while_billing_is_down_until_it_is_stale",
    "HEADGATE_ROUTER_LIMITS_LOST": f"{_PEERS}test_without_the_rate_limiter_requests_are_refused_where_the_setting_says_so",
    "HEADGATE_ROUTER_EXPECTED_OUTPUT_TOKENS": "tests/service/router/test_bounds.py::test_parallel_requests_without_a_maximum_stay_within_a_limit_on_tokens",
    "HEADGATE_ROUTER_MAX_OUTPUT_TOKENS": f"{_HERE}test_a_provider_is_told_the_most_output_that_is_set",
    "HEADGATE_ROUTER_LONGEST_STREAM_SECONDS": f"{_FLOODS}test_a_stream_ends_after_its_longest_time",
    "HEADGATE_ROUTER_MAX_ANSWER_BYTES_IN_FLIGHT": f"{_FLOODS}test_one_large_answer_comes_through_and_many_at_once_are_refused",
    "HEADGATE_ROUTER_WRITE_TIMEOUT_SECONDS": "tests/service/router/test_slow_client.py::test_a_client_that_does_not_read_is_cut_off_and_billed",
    "HEADGATE_ROUTER_LINGER_SECONDS": f"{_HERE}test_an_answer_that_nobody_waits_for_runs_on_for_as_long_as_is_set",
    "HEADGATE_ROUTER_SPOOL_MAX_BYTES": f"{_HERE}test_the_spool_and_what_was_refused_have_the_room_that_is_set",
    "HEADGATE_ROUTER_REFUSED_MAX_BYTES": f"{_HERE}test_the_spool_and_what_was_refused_have_the_room_that_is_set",
    "HEADGATE_CACHE_STORE": "tests/service/cache/test_cache_process.py::test_several_workers_on_redis_share_a_port_and_their_entries",
    "HEADGATE_CACHE_STORE_TIMEOUT_SECONDS": "tests/contract/cache/test_redis_store.py::test_a_redis_that_hangs_is_given_up_in_time_and_used_again_once_it_answers",
    "HEADGATE_CACHE_KEY_SECRET": "tests/unit/cache/test_key.py::test_another_secret_gives_another_key",
    "HEADGATE_CACHE_MAX_BYTES": f"{_CACHE}test_bytes_stay_below_both_caps_and_equal_a_recount_after_any_history",
    "HEADGATE_CACHE_MAX_ORGANIZATION_BYTES": f"{_CACHE}test_bytes_stay_below_both_caps_and_equal_a_recount_after_any_history",
    "HEADGATE_CACHE_MAX_ENTRY_BYTES": "tests/service/cache/test_cache_service.py::test_an_answer_that_is_too_large_is_not_kept",
    "HEADGATE_CACHE_DEFAULT_TTL_SECONDS": f"{_CACHED}test_an_answer_lives_as_long_as_asked_by_default_a_while_and_never_longer_than_the_cap",
    "HEADGATE_CACHE_MAX_TTL_SECONDS": f"{_CACHED}test_an_answer_lives_as_long_as_asked_by_default_a_while_and_never_longer_than_the_cap",
    "HEADGATE_BILLING_STORE": f"{_BILLING}test_several_workers_share_a_postgresql",
    "HEADGATE_BILLING_STORE_CONNECTIONS": f"{_HERE}test_a_postgresql_is_given_as_many_connections_as_are_set",
    "HEADGATE_BILLING_START_WAIT_SECONDS": f"{_BILLING}test_a_database_that_comes_late_is_waited_for",
    "HEADGATE_BILLING_KEY_PEPPER": "tests/unit/billing/test_keys.py::test_the_hash_depends_on_secret_and_pepper",
    "HEADGATE_BILLING_UNPRICED_MODELS": "tests/contract/billing/test_holds.py::test_the_policy_can_refuse_models_without_a_price_but_not_their_usage",
    "HEADGATE_BILLING_SWEEP_SECONDS": f"{_HERE}test_orphans_are_looked_for_and_released_in_the_times_that_are_set",
    "HEADGATE_BILLING_ORPHAN_GRACE_SECONDS": f"{_HERE}test_orphans_are_looked_for_and_released_in_the_times_that_are_set",
    "HEADGATE_RATELIMIT_STORE": "tests/service/ratelimit/test_process.py::test_several_workers_on_redis_are_one_limiter",
    "HEADGATE_RATELIMIT_STORE_TIMEOUT_SECONDS": "tests/contract/ratelimit/test_redis_outages.py::test_a_redis_that_does_not_answer_is_an_error_in_time",
    "HEADGATE_RATELIMIT_STORE_CONNECTIONS": f"{_HERE}test_a_redis_is_given_as_many_connections_as_are_set",
    "HEADGATE_RATELIMIT_RESERVATION_TTL_SECONDS": f"{_HERE}test_a_reservation_lives_as_long_as_is_set",
    "HEADGATE_RATELIMIT_REFRESH_SECONDS": "tests/service/ratelimit/test_process.py::test_several_workers_on_redis_are_one_limiter",
}

_FAILURES = "tests/service/router/providers/test_failures.py::"
_ODD = "tests/service/router/providers/test_odd_servers.py::"
_BODY = "tests/unit/router/providers/test_openai_body.py::"
_WAYS = "tests/unit/router/targets/test_ways_out.py::"
_ROUTING = "tests/unit/router/targets/test_routing.py::"
_LIMITS = "tests/unit/ratelimit/test_config.py::test_a_limit_has_the_contracts_fields"
_REFUSED_LIMITS = (
    "tests/service/ratelimit/test_limits.py::test_what_is_for_a_later_version_is_refused_by_name"
)
_DECLARED = "tests/unit/billing/test_settings.py::test_the_file_declares_prices_in_usd_and_budgets"

FILES = {
    "ProviderConfig.api": f"{_ODD}test_the_request_goes_to_the_configured_path_with_the_key_and_no_more",
    "ProviderConfig.base_url": f"{_ODD}test_the_request_goes_to_the_configured_path_with_the_key_and_no_more",
    "ProviderConfig.api_key": f"{_ODD}test_the_request_goes_to_the_configured_path_with_the_key_and_no_more",
    "ProviderConfig.proxy": "tests/service/router/providers/test_proxy.py::test_a_provider_is_asked_through_the_proxy_that_is_named",
    "ProviderConfig.proxy_login": "tests/service/router/providers/test_proxy.py::test_the_proxy_is_told_the_login_that_is_named",
    "ProviderConfig.allow_insecure": f"{_WAYS}test_an_api_key_leaves_this_machine_over_tls_or_by_choice",
    "ProviderConfig.billed_as": "tests/unit/router/targets/test_answers_as.py::test_what_it_is_billed_as_is_no_part_of_it",
    "ProviderConfig.connect_timeout_seconds": f"{_FAILURES}test_a_host_that_does_not_accept_times_out_while_connecting",
    "ProviderConfig.first_token_timeout_seconds": f"{_FAILURES}test_a_provider_that_never_answers_times_out",
    "ProviderConfig.between_tokens_timeout_seconds": f"{_FAILURES}test_a_stream_that_falls_silent_times_out_and_keeps_what_came",
    "ProviderConfig.only_pings_timeout_seconds": f"{_ODD}test_signs_of_life_alone_are_waited_for_as_long_as_the_operator_says",
    "ProviderConfig.whole_answer_timeout_seconds": f"{_ODD}test_a_whole_answer_that_stops_half_way_times_out",
    "ProviderConfig.max_connections": "tests/service/router/providers/test_connections.py::test_no_more_connections_than_configured_are_opened",
    "ProviderConfig.keep_alive_seconds": f"{_HERE}test_a_connection_that_rests_longer_than_is_set_is_not_used_again",
    "ProviderConfig.continuous_usage": f"{_BODY}test_a_server_with_continuous_usage_is_asked_for_it",
    "ProviderConfig.max_tokens_field": f"{_BODY}test_the_output_limit_has_the_name_that_the_server_knows",
    "ProviderConfig.extensions": "tests/unit/router/providers/test_fidelity.py::test_a_server_that_takes_more_than_openai_does_is_asked_for_it",
    "ProviderConfig.nine_letter_tool_call_ids": f"{_HERE}test_ids_of_nine_letters_are_sent_where_they_are_declared",
    "ProviderConfig.token_counter": "tests/service/router/providers/test_counting.py::test_each_servers_way_to_count_is_asked",
    "ProviderConfig.allowed_provider_options": "tests/service/router/test_what_passes.py::test_options_pass_when_the_operator_allows_them",
    "ProviderConfig.media_sources": "tests/service/router/test_what_passes.py::test_a_provider_is_asked_to_fetch_from_public_hosts_and_named_ones_alone",
    "TargetConfig.provider": "tests/service/router/test_failover.py::test_a_target_that_is_down_is_passed_over_silently",
    "TargetConfig.model": "tests/service/router/test_failover.py::test_a_target_that_is_down_is_passed_over_silently",
    "TargetConfig.context_window": f"{_ROUTING}test_a_target_without_room_is_passed_over",
    "TargetConfig.max_output_tokens": f"{_HERE}test_a_provider_is_told_the_most_output_that_is_set",
    "TargetConfig.most_tokens_per_image": "tests/service/router/test_bounds.py::test_an_estimate_stays_within_what_was_held",
    "TargetConfig.answers_as": "tests/unit/router/targets/test_answers_as.py::test_each_part_of_it_tells_answers_apart",
    "TargetConfig.capabilities": f"{_ROUTING}test_when_no_target_is_able_each_says_why",
    "ModelConfig.targets": "tests/service/router/test_failover.py::test_a_target_that_is_down_is_passed_over_silently",
    "RouterConfig.*": "tests/service/router/test_failover.py::test_a_target_that_is_down_is_passed_over_silently",
    "RouterConfig.cache_scope": f"{_HERE}test_answers_are_shared_as_far_as_the_scope_says",
    "SelectorConfig.*": _LIMITS,
    "TokenBucketConfig.*": _LIMITS,
    "SlidingWindowConfig.*": "tests/unit/ratelimit/test_config.py::test_durations",
    "LimitConfig.*": _LIMITS,
    "LimitConfig.calendar_window": _REFUSED_LIMITS,
    "LimitConfig.concurrency": _REFUSED_LIMITS,
    "RateLimitSection.limits": "tests/service/ratelimit/test_limits.py::test_what_the_file_declares_binds_and_is_read_only",
    "TierSection.*": _DECLARED,
    "TierSection.cache_read": f"{_HERE}test_prices_of_the_file_are_those_that_are_booked",
    "TierSection.cache_write": f"{_HERE}test_prices_of_the_file_are_those_that_are_booked",
    "PriceSection.*": _DECLARED,
    "BudgetSection.*": _DECLARED,
    "BudgetSection.alert_percents": "tests/service/billing/test_money.py::test_what_is_not_in_this_version_says_so",
    "BillingSection.*": _DECLARED,
}
