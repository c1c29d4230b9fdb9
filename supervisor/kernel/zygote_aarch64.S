// What bears the containers, and what their first processes are: as zygote_x86_64.S, where it is explained.
// Assembled into supervisor/kernel/zygote.py; system calls by asm-generic/unistd.h.

        .globl  _start
        .set    IMAGE, 0x10000000
        .set    IMAGE_SIZE, 16 << 20
        .set    SLOTS, 0x20000000
        .set    SLOTS_SIZE, 4 << 20

_start: mov     x0, 4                   // prctl(PR_SET_DUMPABLE, 0): nobody traces it
        mov     x1, 0
        mov     x8, 167
        svc     0
        mov     x0, 15                  // prctl(PR_SET_NAME, "init")
        adr     x1, name
        mov     x8, 167
        svc     0

// ── zygote: at sp an iovec, at +16 a msghdr, at +80 struct clone_args, at +176 room for descriptors ──

        sub     sp, sp, 256
        mov     x10, sp
        add     x9, sp, 80
        mov     x11, 88
        stp     x9, x11, [sp]
        stp     xzr, xzr, [sp, 16]
        mov     x11, 1
        stp     x10, x11, [sp, 32]
        add     x9, sp, 176
        str     x9, [sp, 48]

serve:  mov     x0, 3                   // close_range(3, the last, 0): what comes is 3, 4 …
        mov     w1, -1
        mov     x2, 0
        mov     x8, 436
        svc     0
        mov     x9, 80
        stp     x9, xzr, [sp, 56]
        mov     x0, 0                   // recvmsg(0, msghdr, 0)
        add     x1, sp, 16
        mov     x2, 0
        mov     x8, 212
        svc     0
        cmp     x0, 88
        b.ne    leave
        add     x0, sp, 80              // clone3(clone_args, 88)
        mov     x1, 88
        mov     x8, 435
        svc     0
        cbz     x0, born
        str     x0, [sp, 80]            // write(0, PID or -errno, 8)
        mov     x0, 0
        add     x1, sp, 80
        mov     x2, 8
        mov     x8, 64
        svc     0
        b       serve

leave:  mov     x0, 0                   // the helper is gone
        b       exit

// ── launch: x19 calls, x20 position, x21 count, x22 slots, x23 the call, x24 attempts left ───────────

born:   mov     x24, 0                  // where in the file the program begins
again:  mov     x0, IMAGE               // mmap(IMAGE, IMAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, 4, where)
        mov     x1, IMAGE_SIZE
        mov     x2, 1
        mov     x3, 0x12
        mov     x4, 4
        mov     x5, x24
        mov     x8, 222
        svc     0
        tbnz    x0, 63, nowhere
        mov     x0, SLOTS               // mmap(SLOTS, SLOTS_SIZE, PROT_READ | PROT_WRITE, … | MAP_ANONYMOUS, -1, 0)
        mov     x1, SLOTS_SIZE
        mov     x2, 3
        mov     x3, 0x32
        mov     x4, -1
        mov     x5, 0
        mov     x8, 222
        svc     0
        tbnz    x0, 63, nowhere
        mov     x19, IMAGE
        ldr     x21, [x19], 16
        mov     x22, SLOTS
        mov     x20, 0

next:   cmp     x20, x21
        b.hs    launched
        mov     x9, 112
        madd    x23, x20, x9, x19
        mov     x24, 256
try:    ldp     x8, x0, [x23]
        ldp     x1, x2, [x23, 16]
        ldp     x3, x4, [x23, 32]
        ldp     x5, x25, [x23, 48]
        tbz     x25, 0, 1f              // an argument that is a slot is what is in it
        ldr     x0, [x22, x0, lsl 3]
1:      tbz     x25, 1, 1f
        ldr     x1, [x22, x1, lsl 3]
1:      tbz     x25, 2, 1f
        ldr     x2, [x22, x2, lsl 3]
1:      tbz     x25, 3, 1f
        ldr     x3, [x22, x3, lsl 3]
1:      tbz     x25, 4, 1f
        ldr     x4, [x22, x4, lsl 3]
1:      tbz     x25, 5, 1f
        ldr     x5, [x22, x5, lsl 3]
1:      tbnz    x8, 63, ours
        svc     0
made:   tbnz    x0, 63, error
        ldr     x10, [x23, 72]          // the expected result; below 0: any
        tbz     x25, 6, 1f
        ldr     x10, [x22, x10, lsl 3]
1:      tbnz    x10, 63, keep
        cmp     x0, x10
        b.eq    keep
        mov     x0, -1                  // -EPERM: the kernel said yes and did something else
        b       error
keep:   ldr     x9, [x23, 64]
        str     x0, [x22, x9, lsl 3]
        add     x20, x20, 1
        b       next

error:  cmn     x0, 11                  // -EAGAIN
        b.ne    1f
        subs    x24, x24, 1
        b.ne    try
1:      neg     x11, x0                 // with an error that was expected: past what belongs to it
        ldp     x9, x10, [x23, 80]
        cbz     x9, pass                // 0: any
        cmp     x11, x9
        b.eq    pass
        ldp     x9, x10, [x23, 96]
        cbz     x9, pass
        cmp     x11, x9
        b.ne    stop
pass:   add     x20, x20, x10
        b       keep

ours:   cmn     x8, 3
        b.eq    jump
        b.lt    reread
        mov     x9, x0                  // compare
        mov     x0, 0
byte:   cbz     x2, made
        ldrb    w10, [x9], 1
        ldrb    w11, [x1], 1
        sub     x2, x2, 1
        cmp     w10, w11
        b.eq    byte
        mov     x0, -1
        b       made
jump:   cbz     x0, keep
        add     x20, x20, x1
        b       keep
reread: mov     x24, x0
        b       again

nowhere:
        str     x0, [sp, 80]            // there is no memory for slots: -errno alone
        add     x1, sp, 80
        mov     x2, 8
        b       tell

stop:   stp     x0, x20, [x22]          // slot 0: the result, -errno; slot 1: the position
        mov     x1, x22
        mov     x2, 2048
tell:   mov     x0, 5                   // sendto(report, slots, 2048, MSG_NOSIGNAL, no address)
        mov     x3, 0x4000
        mov     x4, 0
        mov     x5, 0
        mov     x8, 206
        svc     0
failed: mov     x0, 125
exit:   mov     x8, 94                  // exit_group
        svc     0

// ── init: w19 the service's PID, from slot 2; every signal is blocked ─────────────────────────────────

launched:
        ldr     w19, [x22, 16]
        mov     x0, IMAGE               // munmap: what waits for long holds no page that it does not need
        mov     x1, IMAGE_SIZE
        mov     x8, 215
        svc     0
        mov     x0, SLOTS
        mov     x1, SLOTS_SIZE
        mov     x8, 215
        svc     0
        mov     x0, -1                  // every signal
        str     x0, [sp]

wait:   mov     x0, sp                  // rt_sigtimedwait(every signal, no details, no end, 8)
        mov     x1, 0
        mov     x2, 0
        mov     x3, 8
        mov     x8, 137
        svc     0
        cmp     w0, 0
        b.lt    wait
        cmp     w0, 17                  // SIGCHLD
        b.eq    reap
        mov     w1, w0                  // kill(service, signal): refused if it took another account
        mov     w0, w19
        mov     x8, 129
        svc     0
        b       wait

reap:   mov     x0, -1                  // wait4(anyone, status, WNOHANG, no usage)
        add     x1, sp, 8
        mov     x2, 1
        mov     x3, 0
        mov     x8, 260
        svc     0
        cmp     w0, w19
        b.eq    ended
        cmp     w0, 0
        b.gt    reap
        b.eq    wait
        b       failed                  // it could wait for ever

ended:  ldr     w4, [sp, 8]             // the status, as wait(2) has it
        ubfx    w0, w4, 8, 8            // exited: "CODE -1", and the same exit code
        mov     w20, w0
        ldr     x5, exited
        mov     x6, sp
        ands    w4, w4, 127
        b.eq    write
        add     w20, w4, 128            // killed: "-1 SIGNAL", in it 128 if a core was dumped, and 128 + signal
        ldrb    w0, [sp, 8]
        ldr     x5, killed
        add     x6, sp, 3
write:  str     x5, [sp]
        mov     w9, 10                  // w0 as three digits
        mov     x7, 2
place:  udiv    w10, w0, w9
        msub    w11, w10, w9, w0
        ldrb    w12, [x6, x7]
        add     w12, w12, w11
        strb    w12, [x6, x7]
        mov     w0, w10
        subs    x7, x7, 1
        b.ge    place
        mov     x0, 3                   // pwrite64(exit file, text, 8, 0)
        mov     x1, sp
        mov     x2, 8
        mov     x3, 0
        mov     x8, 68
        svc     0
        mov     w0, w20
        b       exit

        .balign 8
exited: .ascii  "000 -1 \n"
killed: .ascii  "-1 000 \n"
name:   .asciz  "init"
        .balign 8
