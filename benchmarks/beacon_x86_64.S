# A service that tells when it began: its first instructions ask for the time (CLOCK_MONOTONIC) and write it,
# 16 bytes, into the FIFO that argv[1] names, or "beacon" in the working directory. Then it sleeps.
# Assembled into benchmarks/beacon.py; system calls by arch/x86/entry/syscalls/syscall_64.tbl.

        .globl  _start
_start: mov     $228, %eax              # clock_gettime(CLOCK_MONOTONIC, time)
        mov     $1, %edi
        lea     -32(%rsp), %rsi
        mov     %rsi, %r13
        syscall
        mov     16(%rsp), %rdi          # argv[1]
        lea     name(%rip), %rax
        test    %rdi, %rdi
        cmovz   %rax, %rdi
        mov     $2, %eax                # open(fifo, O_WRONLY)
        mov     $1, %esi
        xor     %edx, %edx
        syscall
        mov     %eax, %edi              # write(fifo, time, 16)
        mov     $1, %eax
        mov     %r13, %rsi
        mov     $16, %edx
        syscall
        mov     $3, %eax                # close(fifo)
        syscall
sleep:  mov     $34, %eax               # pause()
        syscall
        jmp     sleep
name:   .asciz  "beacon"
