# Second part, sourced by init: makes the root directory in /new and goes there.
# $guest (this folder), $cache, $keep and $out come from the run's settings.

# The host's files below a layer that is gone with the machine. What is written lives in its memory.
mount -t tmpfs -o size=90% write /write
mkdir /write/upper /write/work
mount -t overlay -o lowerdir=/host,upperdir=/write/upper,workdir=/write/work overlay /new || exit
for dir in proc sys dev; do mount --move /$dir /new/$dir; done
mkdir -p "/new/lib/modules/$(uname -r)"
mount --bind "/host$cache/lib/modules/$(uname -r)" "/new/lib/modules/$(uname -r)"

# Fresh /run and /tmp: the host's are the host's, and an overlay cannot be the upper layer of another.
# The folders of /tmp that the command needs are $keep.
mkdir /old-tmp
mount --bind /new/tmp /old-tmp
mount -t tmpfs tmp /new/tmp
mount -t tmpfs -o mode=755 run /new/run
eval "set -- $keep"
for name; do
    mkdir "/new/tmp/$name"
    mount --bind "/old-tmp/$name" "/new/tmp/$name"
done
umount /old-tmp

cd /new
mkdir -p dev/pts dev/shm dev/mqueue dev/net run/guest run/lock
chmod 1777 run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs shm dev/shm
mount -t mqueue mqueue dev/mqueue
mount -t securityfs securityfs sys/kernel/security
mknod -m 666 dev/net/tun c 10 200
mknod dev/loop-control c 10 237
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

# What the machine is for.
mount -t cgroup2 cgroup2 sys/fs/cgroup
for controller in $(cat sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >sys/fs/cgroup/cgroup.subtree_control
done

if [ "$out" ]; then
    mkdir -p "/new$out"
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=mmap out "/new$out" || exit
fi

# The kernel asks for modules by this path; the host may have no modprobe that fits.
cp /bin/busybox "/host$guest/run.sh" "/host$run/command" run/guest
ln -s busybox run/guest/modprobe
echo /run/guest/modprobe >proc/sys/kernel/modprobe
hostname machine
ip link set lo up
ulimit -n 1048576
ulimit -Sn 1024
exec switch_root /new /run/guest/busybox sh /run/guest/run.sh
