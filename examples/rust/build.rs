fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("headgate.rs")
        .compile_protos(
            &["headgate/router/v1/router_service.proto"],
            &["../../protos"],
        )
}
