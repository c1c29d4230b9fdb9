// PID 1 of a container, once its service runs: waits, forwards signals, records how the service ended.
// argv[1] is the service's PID in decimal, descriptor 3 the exit file; every signal is blocked.
// Assembled into supervisor/helper/shim.py; system calls by asm-generic/unistd.h.

        .globl  _start
_start: mov     x0, 4                   // prctl(PR_SET_DUMPABLE, 0): nobody traces it
        mov     x1, 0
        mov     x8, 167
        svc     0
        mov     x0, 15                  // prctl(PR_SET_NAME, "init")
        adr     x1, name
        mov     x8, 167
        svc     0
        ldr     x1, [sp, 16]            // w19 = the number in argv[1]
        mov     w19, 0
        mov     w3, 10
digit:  ldrb    w2, [x1], 1
        subs    w2, w2, '0'
        b.lo    begin
        madd    w19, w19, w3, w2
        b       digit
begin:  sub     sp, sp, 16
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
        b       wait

ended:  ldr     w4, [sp, 8]             // the status, as wait(2) has it
        ubfx    w0, w4, 8, 8            // exited: "CODE -1", and the same exit code
        mov     w20, w0
        ldr     x5, exited
        mov     x6, sp
        ands    w4, w4, 127
        b.eq    write
        mov     w0, w4                  // killed: "-1 SIGNAL", and 128 + SIGNAL
        add     w20, w4, 128
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
        mov     w0, w20                 // exit_group
        mov     x8, 94
        svc     0

        .balign 8
exited: .ascii  "000 -1 \n"
killed: .ascii  "-1 000 \n"
name:   .asciz  "init"
        .balign 8
