# Written by "spcc manual bash" from grammar/*.def: change those, then run "make manual".
_spcc() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command=compile options words kind word
    local codes="SP001 SP002 SP003 SP004 SP005 SP006 SP010 SP011 SP012 SP013 SP014 SP015 SP016 SP017 SP020 SP021 SP022 SP023
SP024 SP101 SP103 SP107 SP108 SP110 SP111 SP109 SP112 SP113 SP114 SP120 SP121 SP123 SP124 SP130 SP131 SP132
SP133 SP134 SP135 SP136 SP137 SP138 SP139 SP140 SP160 SP161 SP162 SP163 SP164 SP201 SP210 SP211 SP212 SP213
SP214 SP215 SP309 SP227 SP224 SP225 SP226 SP105 SP411 SP412 SP413 SP414 SP415 SP216 SP218 SP217 SP301 SP320
SP321 SP322 SP323 SP330 SP324 SP810 SP811 SP104 SP204 SP205 SP206 SP207 SP208 SP209 SP302 SP303 SP304 SP305
SP306 SP307 SP308 SP311 SP312 SP313 SP316 SP401 SP402 SP403 SP404 SP405 SP406 SP410 SP501 SP502 SP503 SP504
SP505 SP506 SP507 SP508 SP509 SP510 SP511 SP512 SP513 SP514 SP529 SP601 SP602 SP603 SP604 SP605 SP606 SP607
SP608 SP706 SP801 SP802 SP803 SP804 SP805 SP806 SP901 SP902 SP141 SP106 SP155 SP142 SP143 SP144 SP145 SP146
SP102 SP147 SP148 SP149 SP150 SP151 SP152 SP153 SP219 SP202 SP203 SP220 SP221 SP222 SP223 SP515 SP516 SP517
SP518 SP519 SP522 SP523 SP524 SP525 SP526 SP528 SP527 SP520 SP521 SP315 SP314 SP310 SP325 SP331 SP332 SP326
SP327 SP328 SP708 SP709 SP701 SP702 SP703 SP704 SP710 SP705 SP711 SP707 SP812 SP813 SP814"
    local topics="$codes
include error_log stream events user worker_processes worker_rlimit_nofile worker_cpu_affinity
worker_shutdown_timeout pid daemon master_process working_directory load_module env lock_file
timer_resolution pcre_jit thread_pool debug_points worker_priority worker_rlimit_core ssl_engine
ssl_object_cache_inheritable quic_bpf google_perftools_profiles http mail worker_connections use multi_accept
accept_mutex accept_mutex_delay debug_connection worker_aio_requests server listen preread_buffer_size
preread_timeout proxy_protocol_timeout proxy_protocol_from resolver resolver_timeout server_name
server_names_hash_bucket_size server_names_hash_max_size tcp_nodelay variables_hash_bucket_size
variables_hash_max_size allow deny geo keyval keyval_zone limit_conn limit_conn_dry_run limit_conn_log_level
limit_conn_zone limit_conn_rate limit_conn_rate_dry_run limit_conn_rate_log_level limit_conn_rate_zone
access_log log_format open_log_file_cache map map_hash_bucket_size map_hash_max_size num_map pass proxy_bind
proxy_bind_dynamic proxy_bind_device proxy_buffer_size proxy_client_timeout proxy_connect_timeout
proxy_download_rate proxy_half_close proxy_next_upstream proxy_next_upstream_delay
proxy_next_upstream_timeout proxy_next_upstream_tries proxy_pass proxy_protocol proxy_protocol_tlv
proxy_requests proxy_responses proxy_session_drop proxy_session_timeout proxy_socket_keepalive
proxy_socket_mark proxy_socket_rcvbuf proxy_socket_sndbuf proxy_socket_user_timeout proxy_ssl proxy_ssl_alpn
proxy_ssl_certificate proxy_ssl_certificate_cache proxy_ssl_certificate_key proxy_ssl_certificate_reload
proxy_ssl_ciphers proxy_ssl_conf_command proxy_ssl_crl proxy_ssl_key_log proxy_ssl_name
proxy_ssl_password_file proxy_ssl_pin proxy_ssl_protocols proxy_ssl_server_name proxy_ssl_session_reuse
proxy_ssl_trusted_certificate proxy_ssl_verify proxy_ssl_verify_depth proxy_timeout proxy_upstream_timeout
proxy_upload_rate set_real_ip_from return set split_clients ssl_alpn ssl_certificate ssl_certificate_cache
ssl_certificate_compression ssl_certificate_key ssl_ciphers ssl_client_certificate ssl_conf_command ssl_crl
ssl_dhparam ssl_ecdh_curve ssl_ech_file ssl_handshake_timeout ssl_key_log ssl_ocsp ssl_ocsp_cache
ssl_ocsp_responder ssl_password_file ssl_prefer_server_ciphers ssl_protocols ssl_reject_handshake
ssl_session_cache ssl_session_ticket_key ssl_session_tickets ssl_session_timeout ssl_stapling
ssl_stapling_file ssl_stapling_responder ssl_stapling_verify ssl_trusted_certificate ssl_verify_client
ssl_verify_depth ssl_preread ssl_preread_starttls mqtt_preread http_preread health_check health_check_timeout
match upstream zone state hash least_conn least_time maglev random remote_addr remote_port server_addr
server_port protocol connection hostname pid msec nginx_version spcd_version binary_remote_addr
bytes_received bytes_sent session_time status close_reason time_local time_iso8601 time_iso8601_ms
upstream_addr upstream_bytes_received upstream_bytes_sent upstream_connect_time upstream_first_byte_time
upstream_session_time ssl_preread_server_name ssl_preread_alpn_protocols ssl_preread_protocol
proxy_protocol_addr proxy_protocol_port proxy_protocol_server_addr proxy_protocol_server_port
realip_remote_addr realip_remote_port limit_conn_status upstream_last_addr log_event
proxy_protocol_tlv_aws_vpce_id proxy_protocol_tlv_azure_pel_id proxy_protocol_tlv_gcp_conn_id
limit_conn_rate_status mqtt_preread_clientid mqtt_preread_username http_preread_host quic_dcid
ssl_alpn_protocol ssl_cipher ssl_ciphers ssl_client_cert ssl_client_fingerprint ssl_client_i_dn
ssl_client_raw_cert ssl_client_s_dn ssl_client_serial ssl_client_sigalg ssl_client_v_end ssl_client_v_remain
ssl_client_v_start ssl_client_verify ssl_curve ssl_curves ssl_ech_outer_server_name ssl_ech_status
ssl_protocol ssl_server_cert_type ssl_server_name ssl_session_id ssl_session_reused ssl_sigalg
upstream_last_server_name"
    local IFS=$' \t\n'
    [[ $current == = ]] && current=
    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD - 2]}
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        compile | check | dump | diff | fmt | explain | manual) command=$word; break ;;
        esac
    done
    case $before in
    -o) kind=-f ;;
    -I) kind=-d ;;
    -D) return ;;
    --context) words="main stream server upstream auto" ;;
    --target) return ;;
    --format) words="pretty gcc json sarif github gitlab junit" ;;
    --root) kind=-d ;;
    --deny) words=$codes ;;
    --warn) words=$codes ;;
    --allow) words=$codes ;;
    --fail-on) words="error warning note never" ;;
    -MF) kind=-f ;;
    --embed-origin) words="on off" ;;
    esac
    case $command in
    compile) options="-o -I -D -W --context --target --format --root --deny --warn --allow --fail-on --check-files --check-certs --check-dns --print-inputs -MD -MF --embed-origin -h --help -V --version" ;;
    check) options="-I -D -W --context --target --format --root --deny --warn --allow --fail-on --check-files --check-certs --check-dns --print-inputs -h --help -V --version" ;;
    dump) options="-h --help -V --version" ;;
    diff) options="-I -D --format -h --help -V --version" ;;
    fmt) options="--check --diff -h --help -V --version" ;;
    explain) options="-h --help -V --version" ;;
    manual) options="-h --help -V --version" ;;
    esac
    if [[ -z $words$kind ]]; then
        kind=-f
        [[ $command == explain ]] && words=$topics kind=
        [[ $command == manual ]] && kind='' words="directives diagnostics spc.conf.5 bash zsh fish"
        ((COMP_CWORD == 1)) && words="compile check dump diff fmt explain manual"
        [[ $current == -* ]] && words=$options kind=
    fi
    mapfile -t COMPREPLY < <(compgen $kind ${words:+-W "$words"} -- "$current")
}
complete -o filenames -F _spcc spcc
