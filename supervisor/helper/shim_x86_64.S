# PID 1 of a container, once its service runs: waits, forwards signals, records how the service ended.
# argv[1] is the service's PID in decimal, descriptor 3 the exit file; every signal is blocked.
# Assembled into supervisor/helper/shim.py; system calls by asm/unistd_64.h.

        .intel_syntax noprefix
        .globl  _start
_start: mov     edi, 4                  # prctl(PR_SET_DUMPABLE, 0): nobody traces it
        xor     esi, esi
        mov     eax, 157
        syscall
        mov     edi, 15                 # prctl(PR_SET_NAME, "init")
        lea     rsi, [rip + name]
        mov     eax, 157
        syscall
        mov     rsi, [rsp + 16]         # ebx = the number in argv[1]
        xor     ebx, ebx
digit:  movzx   eax, byte ptr [rsi]
        inc     rsi
        sub     eax, '0'
        jb      begin
        imul    ebx, ebx, 10
        add     ebx, eax
        jmp     digit
begin:  sub     rsp, 16
        mov     qword ptr [rsp], -1     # every signal

wait:   mov     rdi, rsp                # rt_sigtimedwait(every signal, no details, no end, 8)
        xor     esi, esi
        xor     edx, edx
        mov     r10d, 8
        mov     eax, 128
        syscall
        test    eax, eax
        js      wait
        cmp     eax, 17                 # SIGCHLD
        je      reap
        mov     edi, ebx                # kill(service, signal): refused if it took another account
        mov     esi, eax
        mov     eax, 62
        syscall
        jmp     wait

reap:   mov     edi, -1                 # wait4(anyone, status, WNOHANG, no usage)
        lea     rsi, [rsp + 8]
        mov     edx, 1
        xor     r10d, r10d
        mov     eax, 61
        syscall
        cmp     eax, ebx
        je      ended
        test    eax, eax
        jg      reap
        jmp     wait

ended:  mov     ebp, [rsp + 8]          # the status, as wait(2) has it
        mov     eax, ebp                # exited: "CODE -1", and the same exit code
        shr     eax, 8
        and     eax, 255
        mov     r12d, eax
        mov     rcx, [rip + exited]
        mov     rdi, rsp
        and     ebp, 127
        jz      write
        mov     eax, ebp                # killed: "-1 SIGNAL", and 128 + SIGNAL
        lea     r12d, [rax + 128]
        mov     rcx, [rip + killed]
        lea     rdi, [rsp + 3]
write:  mov     [rsp], rcx
        mov     ecx, 10                 # eax as three digits
        xor     edx, edx
        div     ecx
        add     [rdi + 2], dl
        xor     edx, edx
        div     ecx
        add     [rdi + 1], dl
        add     [rdi], al
        mov     edi, 3                  # pwrite64(exit file, text, 8, 0)
        mov     rsi, rsp
        mov     edx, 8
        xor     r10d, r10d
        mov     eax, 18
        syscall
        mov     edi, r12d               # exit_group
        mov     eax, 231
        syscall

        .balign 8
exited: .ascii  "000 -1 \n"
killed: .ascii  "-1 000 \n"
name:   .asciz  "init"
        .balign 8
