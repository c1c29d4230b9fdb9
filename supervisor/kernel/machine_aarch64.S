// go(program, at, count, slots): as machine_x86_64.S, where it is explained.
// Assembled into supervisor/kernel/machine.py.

go:     stp     x19, x20, [sp, -48]!
        stp     x21, x22, [sp, 16]
        stp     x23, x24, [sp, 32]
        mov     x19, x0                 // program
        mov     x20, x1                 // at
        mov     x21, x2                 // count
        mov     x22, x3                 // slots

next:   cmp     x20, x21
        b.hs    out
        mov     x9, 96
        madd    x23, x20, x9, x19
        ldp     x8, x0, [x23]
        ldp     x1, x2, [x23, 16]
        ldp     x3, x4, [x23, 32]
        ldp     x5, x24, [x23, 48]
        tbz     x24, 0, 1f              // an argument that is a slot is what is in it
        ldr     x0, [x22, x0, lsl 3]
1:      tbz     x24, 1, 1f
        ldr     x1, [x22, x1, lsl 3]
1:      tbz     x24, 2, 1f
        ldr     x2, [x22, x2, lsl 3]
1:      tbz     x24, 3, 1f
        ldr     x3, [x22, x3, lsl 3]
1:      tbz     x24, 4, 1f
        ldr     x4, [x22, x4, lsl 3]
1:      tbz     x24, 5, 1f
        ldr     x5, [x22, x5, lsl 3]
1:      tbnz    x8, 63, out             // a number below 0: not a call for us
        svc     0
        tbnz    x0, 63, failed
        ldp     x9, x10, [x23, 64]
        tbnz    x10, 63, keep           // expected, below 0: any
        cmp     x0, x10
        b.ne    stop
keep:   str     x0, [x22, x9, lsl 3]
        add     x20, x20, 1
        b       next

failed: ldp     x9, x10, [x23, 80]      // with the error that was expected: past what belongs to it
        neg     x11, x0
        cmp     x11, x9
        b.ne    stop
        add     x20, x20, x10
        add     x20, x20, 1
        b       next

stop:   str     x0, [x22]               // slot 0: the result, -errno
out:    mov     x0, x20
        ldp     x21, x22, [sp, 16]
        ldp     x23, x24, [sp, 32]
        ldp     x19, x20, [sp], 48
        ret
