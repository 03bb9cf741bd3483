//! Tells the linker that Node brings what the module needs of it.

fn main() {
    napi_build::setup();
}
