//! First instructions, and the end by panic. A kernel starts at EL1h with its MMU off, a service at EL0; x0 = boot page.
//!
//! Which of the two an image is, its own main decides: the other name stays weak and zero.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .head, "ax"
    .global _start
_start:
    adrp    x1, __stack_top
    add     sp, x1, :lo12:__stack_top
    mov     x29, xzr
    mov     x30, xzr
    ldr     x2, 1f
    cbnz    x2, 0f
    ldr     x2, 2f
0:  br      x2
    .balign 8
    .weak   kernel_main
    .weak   service_main
    .global __tetrarch_kernel_main
__tetrarch_kernel_main:
1:  .quad   kernel_main
2:  .quad   service_main
"#
);

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut line = crate::text::Line::new();
    // A line that is too long is cut: what matters stands first.
    let _ = match info.location() {
        Some(at) => {
            core::fmt::write(&mut line, format_args!("{} at {}:{}", info.message(), at.file(), at.line()))
        }
        None => core::fmt::write(&mut line, format_args!("{}", info.message())),
    };
    crate::crash(line.bytes())
}
