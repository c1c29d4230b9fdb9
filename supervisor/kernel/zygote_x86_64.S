# What bears the containers, and what their first processes are: one program, three parts.
#
# zygote  waits for requests on descriptor 0, clones itself, answers with the PID or -errno.
# launch  the child: carries out the program in the file that came along, by one loop.
# init    once the service runs: waits, forwards signals, records how the service ended.
#
# Descriptors of a child: 3 exit file, 4 the program's file, 5 report, and more that only the program knows of.
# Addresses, the words of a call and the slots by number: kernel/image.py and kernel/program.py.
# Assembled into supervisor/kernel/zygote.py; system calls by asm/unistd_64.h.

        .intel_syntax noprefix
        .globl  _start
        .set    IMAGE, 0x10000000
        .set    IMAGE_SIZE, 16 << 20
        .set    SLOTS, 0x20000000
        .set    SLOTS_SIZE, 4 << 20

_start: mov     edi, 4                  # prctl(PR_SET_DUMPABLE, 0): nobody traces it
        xor     esi, esi
        mov     eax, 157
        syscall
        mov     edi, 15                 # prctl(PR_SET_NAME, "init")
        lea     rsi, [rip + name]
        mov     eax, 157
        syscall

# ── zygote: at rsp an iovec, at +16 a msghdr, at +80 struct clone_args, at +176 room for descriptors ──

        sub     rsp, 256
        lea     rax, [rsp + 80]
        mov     [rsp], rax
        mov     qword ptr [rsp + 8], 88
        xor     eax, eax
        mov     [rsp + 16], rax
        mov     [rsp + 24], rax
        mov     [rsp + 32], rsp
        mov     qword ptr [rsp + 40], 1
        lea     rax, [rsp + 176]
        mov     [rsp + 48], rax

serve:  mov     edi, 3                  # close_range(3, the last, 0): what comes is 3, 4 …
        mov     esi, -1
        xor     edx, edx
        mov     eax, 436
        syscall
        mov     qword ptr [rsp + 56], 80
        mov     qword ptr [rsp + 64], 0
        xor     edi, edi                # recvmsg(0, msghdr, 0)
        lea     rsi, [rsp + 16]
        xor     edx, edx
        mov     eax, 47
        syscall
        cmp     rax, 88
        jne     leave
        lea     rdi, [rsp + 80]         # clone3(clone_args, 88)
        mov     esi, 88
        mov     eax, 435
        syscall
        test    rax, rax
        jz      born
        mov     [rsp + 80], rax         # write(0, PID or -errno, 8)
        xor     edi, edi
        lea     rsi, [rsp + 80]
        mov     edx, 8
        mov     eax, 1
        syscall
        jmp     serve

leave:  xor     edi, edi                # the helper is gone
        jmp     exit

# ── launch: rbx calls, rbp position, r12 count, r13 slots, r14 the call, r15 attempts left ────────────

born:   xor     r15d, r15d              # where in the file the program begins
again:  mov     edi, IMAGE              # mmap(IMAGE, IMAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, 4, where)
        mov     esi, IMAGE_SIZE
        mov     edx, 1
        mov     r10d, 0x12
        mov     r8d, 4
        mov     r9, r15
        mov     eax, 9
        syscall
        test    rax, rax
        js      nowhere
        mov     edi, SLOTS              # mmap(SLOTS, SLOTS_SIZE, PROT_READ | PROT_WRITE, … | MAP_ANONYMOUS, -1, 0)
        mov     esi, SLOTS_SIZE
        mov     edx, 3
        mov     r10d, 0x32
        mov     r8, -1
        xor     r9d, r9d
        mov     eax, 9
        syscall
        test    rax, rax
        js      nowhere
        mov     ebx, IMAGE
        mov     r12, [rbx]
        add     rbx, 16
        mov     r13d, SLOTS
        xor     ebp, ebp

next:   cmp     rbp, r12
        jae     launched
        imul    r14, rbp, 112
        add     r14, rbx
        mov     r15d, 256
try:    mov     rdi, [r14 + 8]
        mov     rsi, [r14 + 16]
        mov     rdx, [r14 + 24]
        mov     r10, [r14 + 32]
        mov     r8, [r14 + 40]
        mov     r9, [r14 + 48]
        mov     rax, [r14 + 56]         # an argument that is a slot is what is in it
        test    al, 1
        jz      1f
        mov     rdi, [r13 + rdi * 8]
1:      test    al, 2
        jz      1f
        mov     rsi, [r13 + rsi * 8]
1:      test    al, 4
        jz      1f
        mov     rdx, [r13 + rdx * 8]
1:      test    al, 8
        jz      1f
        mov     r10, [r13 + r10 * 8]
1:      test    al, 16
        jz      1f
        mov     r8, [r13 + r8 * 8]
1:      test    al, 32
        jz      1f
        mov     r9, [r13 + r9 * 8]
1:      mov     rax, [r14]
        test    rax, rax
        js      ours
        syscall
made:   test    rax, rax
        js      error
        mov     rcx, [r14 + 72]         # the expected result; below 0: any
        test    byte ptr [r14 + 56], 64
        jz      1f
        mov     rcx, [r13 + rcx * 8]
1:      test    rcx, rcx
        js      keep
        cmp     rax, rcx
        je      keep
        mov     rax, -1                 # -EPERM: the kernel said yes and did something else
        jmp     error
keep:   mov     rcx, [r14 + 64]
        mov     [r13 + rcx * 8], rax
        inc     rbp
        jmp     next

error:  cmp     rax, -11                # -EAGAIN
        jne     1f
        dec     r15d
        jnz     try
1:      mov     rcx, rax                # with an error that was expected: past what belongs to it
        neg     rcx
        mov     rdx, [r14 + 88]
        mov     rsi, [r14 + 80]
        test    rsi, rsi                # 0: any
        jz      pass
        cmp     rcx, rsi
        je      pass
        mov     rdx, [r14 + 104]
        mov     rsi, [r14 + 96]
        test    rsi, rsi
        jz      pass
        cmp     rcx, rsi
        jne     stop
pass:   add     rbp, rdx
        jmp     keep

ours:   cmp     rax, -3
        je      jump
        jl      reread
        xor     eax, eax                # compare: of no bytes the flags stay as they are, equal
        mov     rcx, rdx
        repe    cmpsb
        je      made
        dec     rax
        jmp     made
jump:   mov     rax, rdi
        test    rdi, rdi
        jz      keep
        add     rbp, rsi
        jmp     keep
reread: mov     r15, rdi
        jmp     again

nowhere:
        mov     [rsp + 80], rax         # there is no memory for slots: -errno alone
        lea     rsi, [rsp + 80]
        mov     edx, 8
        jmp     tell

stop:   mov     [r13], rax              # slot 0: the result, -errno; slot 1: the position
        mov     [r13 + 8], rbp
        mov     rsi, r13
        mov     edx, 2048
tell:   mov     edi, 5                  # sendto(report, slots, 2048, MSG_NOSIGNAL, no address)
        mov     r10d, 0x4000
        xor     r8d, r8d
        xor     r9d, r9d
        mov     eax, 44
        syscall
failed: mov     edi, 125
exit:   mov     eax, 231                # exit_group
        syscall

# ── init: ebx the service's PID, from slot 2; every signal is blocked ─────────────────────────────────

launched:
        mov     ebx, [r13 + 16]
        mov     edi, IMAGE              # munmap: what waits for long holds no page that it does not need
        mov     esi, IMAGE_SIZE
        mov     eax, 11
        syscall
        mov     edi, SLOTS
        mov     esi, SLOTS_SIZE
        mov     eax, 11
        syscall
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
        jz      wait
        jmp     failed                  # it could wait for ever

ended:  mov     ebp, [rsp + 8]          # the status, as wait(2) has it
        mov     eax, ebp                # exited: "CODE -1", and the same exit code
        shr     eax, 8
        and     eax, 255
        mov     r12d, eax
        mov     rcx, [rip + exited]
        mov     rdi, rsp
        and     ebp, 127
        jz      write
        lea     r12d, [rbp + 128]       # killed: "-1 SIGNAL", in it 128 if a core was dumped, and 128 + signal
        movzx   eax, byte ptr [rsp + 8]
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
        mov     edi, r12d
        jmp     exit

        .balign 8
exited: .ascii  "000 -1 \n"
killed: .ascii  "-1 000 \n"
name:   .asciz  "init"
        .balign 8
