// A service that tells when it began: its first instructions ask for the time (CLOCK_MONOTONIC) and write it,
// 16 bytes, into the FIFO that argv[1] names, or "beacon" in the working directory. Then it sleeps.
// Assembled into benchmarks/beacon.py; system calls by asm-generic/unistd.h.

        .globl  _start
_start: mov     x0, 1                   // clock_gettime(CLOCK_MONOTONIC, time)
        sub     x19, sp, 32
        mov     x1, x19
        mov     x8, 113
        svc     0
        ldr     x1, [sp, 16]            // argv[1]
        adr     x2, name
        cmp     x1, 0
        csel    x1, x2, x1, eq
        mov     x0, -100                // openat(AT_FDCWD, fifo, O_WRONLY)
        mov     x2, 1
        mov     x3, 0
        mov     x8, 56
        svc     0
        mov     w20, w0
        mov     x1, x19                 // write(fifo, time, 16)
        mov     x2, 16
        mov     x8, 64
        svc     0
        mov     w0, w20                 // close(fifo)
        mov     x8, 57
        svc     0
sleep:  mov     x0, 0                   // ppoll(nothing, 0, no end, no mask)
        mov     x1, 0
        mov     x2, 0
        mov     x3, 0
        mov     x8, 73
        svc     0
        b       sleep
name:   .asciz  "beacon"
